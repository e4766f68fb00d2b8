"""Toybox training data: scenes, pictures, sounds and captions made on the fly. See README.md."""

from .captions import caption, labels, vocabulary
from .render import render
from .spec import Spec, join, sample_specs

__all__ = ["Spec", "caption", "join", "labels", "render", "sample_specs", "vocabulary"]
