"""Sequential stopping: replications until an interval is narrow enough.

The number of replications then depends on what they say, by which intervals cover the truth somewhat more seldom than
they claim. Beginning with ten, and looking seldom, keeps that small (Law, Simulation Modeling and Analysis, 9.4).
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any

import msgspec

from synapse.experiment.design import Point
from synapse.experiment.errors import StudyError
from synapse.experiment.interval import of_mean
from synapse.experiment.regimes import collapsed, is_bistable
from synapse.experiment.results import metric_of

RULE = re.compile(
    r"\s*(?P<relative>relative\s+)?half-width(\s+of\s+(?P<metric>\w+))?"
    r"\s*<=?\s*(?P<bound>[\d.eE+-]+)\s*(?P<percent>%?)\s*"
)
LEAST = 10  # replications before an interval is looked at
GROWTH = 2.0  # as many times at most as there are, before it is looked at again


class Until(msgspec.Struct, frozen=True):
    """When there are enough replications of a point.

    Attributes
    ----------
    metric : str
        Whose 95 % interval is looked at.
    bound : float
        What half its width must be less than.
    relative : bool
        Whether that is a share of the mean.
    """

    metric: str
    bound: float
    relative: bool

    @classmethod
    def parse(cls, text: str) -> Until:
        """Read ``relative half-width < 5 %`` (of the goodput), ``half-width of p99 < 0.01``.

        Raises
        ------
        StudyError
            If it is none.
        """
        if not isinstance(text, str):
            raise StudyError("until", f"must be a text as 'relative half-width of p99 < 5 %'; not {text!r}")
        found = RULE.fullmatch(text)
        try:
            bound = float(found["bound"]) * (0.01 if found["percent"] else 1.0) if found else math.nan
        except ValueError:
            bound = math.nan
        if found is None or not bound > 0:
            raise StudyError("until", f"must be as 'relative half-width of p99 < 5 %'; not {text!r}")
        if found["percent"] and not found["relative"]:
            raise StudyError("until", f"has a share, so say 'relative half-width'; not {text!r}")
        if found["relative"] and bound >= 1:
            raise StudyError("until", f"must be a share < 1: 5 % or 0.05; not {found['bound'] + found['percent']!r}")
        return cls(metric_of(found["metric"] or "goodput"), bound, bool(found["relative"]))

    def wanted(self, point: Point, rows: Sequence[dict[str, Any]]) -> int:
        """How many replications there should be: those that there are, if they are enough.

        Where some have collapsed and some have not, more of them make no mean: `LEAST` are enough.
        """
        count = len(rows)
        if count < LEAST:
            return LEAST
        if is_bistable(collapsed(point, rows)):
            return count
        found = of_mean(row[self.metric] for row in rows)
        half = found.relative if self.relative else found.half
        if not half > self.bound:  # also if there is none to tell: the metric is not there
            return count
        lacking = min(count * (half / self.bound) ** 2, count * GROWTH)
        return max(count + 1, math.ceil(lacking))
