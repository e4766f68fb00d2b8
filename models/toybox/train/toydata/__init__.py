"""Toybox training data: scenes, pictures, sounds and captions made on the fly. See README.md."""

from .captions import caption, labels, vocabulary
from .render import render
from .spec import EVALUATION_SEED, Spec, evaluation_specs, join, sample_specs

__all__ = ["EVALUATION_SEED", "Spec", "caption", "evaluation_specs", "join", "labels", "render", "sample_specs", "vocabulary"]
