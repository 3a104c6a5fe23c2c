"""What every formula asks of its arguments. Each check returns the argument as a plain number."""

from __future__ import annotations

import math
from typing import Any

from synapse.theory.errors import TheoryError


def number(name: str, value: Any, unit: str = "") -> float:
    """Any number but NaN."""
    try:
        result = float(value)
    except (TypeError, ValueError):
        raise TheoryError(name, value, unit, "a number") from None
    if math.isnan(result):
        raise TheoryError(name, result, unit, "a number")
    return result


def positive(name: str, value: Any, unit: str = "") -> float:
    """A finite number above 0."""
    result = number(name, value, unit)
    if not 0 < result < math.inf:
        raise TheoryError(name, result, unit, "positive and finite")
    return result


def nonnegative(name: str, value: Any, unit: str = "") -> float:
    """A finite number, 0 or more."""
    result = number(name, value, unit)
    if not 0 <= result < math.inf:
        raise TheoryError(name, result, unit, "0 or more, and finite")
    return result


def probability(name: str, value: Any) -> float:
    """A number from 0 to 1."""
    result = number(name, value)
    if not 0 <= result <= 1:
        raise TheoryError(name, result, "", "from 0 to 1")
    return result


def level(name: str, value: Any) -> float:
    """The level of a quantile: from 0 up to, but not, 1."""
    result = number(name, value)
    if not 0 <= result < 1:
        raise TheoryError(name, result, "", "from 0 to below 1")
    return result


def count(name: str, value: Any, unit: str = "", least: int = 1) -> int:
    """A whole number, `least` or more."""
    result = number(name, value, unit)
    if not (least <= result < math.inf and result == int(result)):
        raise TheoryError(name, result, unit, f"a whole number, {least} or more")
    return int(result)


def stable(lam: float, capacity: float, words: str) -> None:
    """Refuse arrivals that the servers cannot keep up with; `words` say what `capacity` is."""
    if lam >= capacity:
        raise TheoryError("lam", lam, "/s", f"below {words} = {capacity:.10g} /s, or the queue grows without bound")
