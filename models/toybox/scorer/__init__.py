"""The Toybox scorer: what does a clip show and sound like? No learned parts. See README.md."""

import os
import sys

# The scorer knows the toys' names, colours and outlines from the data package.
sys.path.append(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "train"))

from .evaluate import compare, evaluate, format_table, summarise
from .score import score_clip

__all__ = ["compare", "evaluate", "format_table", "score_clip", "summarise"]
