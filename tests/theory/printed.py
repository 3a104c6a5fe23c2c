"""Numbers as books print them."""

from __future__ import annotations

from typing import Any

import pytest


def printed(text: str, ulps: float = 0.5) -> Any:
    """What rounds to `text`: within half a unit of its last digit, or within `ulps` of them if it was cut short."""
    decimals = len(text.partition(".")[2])
    return pytest.approx(float(text), rel=0, abs=ulps * 10**-decimals * (1 + 1e-9))


def rows(table: str) -> list[list[str]]:
    """The cells of a table of text, line by line."""
    return [line.split() for line in table.strip().splitlines()]
