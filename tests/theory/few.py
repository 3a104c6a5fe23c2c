"""Hypothesis with a few examples each: the formulas are smooth, and the room is to be checked in seconds."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import hypothesis

EXAMPLES = int(os.environ.get("SYNAPSE_EXAMPLES", "25"))


def given(*args: Any, **kwargs: Any) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """As hypothesis.given, with `EXAMPLES` examples."""
    return lambda test: hypothesis.settings(max_examples=EXAMPLES)(hypothesis.given(*args, **kwargs)(test))
