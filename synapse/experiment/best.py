"""The best point of a study, and its way to a live server."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from synapse.experiment.design import Point
from synapse.experiment.interval import Interval
from synapse.policies import Policies, Policy

PARTS = ("queue", "concurrency", "timeout", "rate_limit", "mailbox")
"""The rules that a simulated node has. A live server's others stay as they are."""


class Best(msgspec.Struct, frozen=True):
    """The point of a study at which a metric is best.

    Attributes
    ----------
    point : Point
        Which.
    metric : str
        What it is best at.
    value : Interval
        The metric there.
    lead : Interval
        By how much it is better than the next best, in paired differences; the sign is such that more is better.
    """

    point: Point
    metric: str
    value: Interval
    lead: Interval

    @property
    def is_sure(self) -> bool:
        """Whether it is better than the next best by more than chance."""
        return self.lead.low > 0

    @property
    def policies(self) -> Policies:
        """The rules of its nodes."""
        return self.point.scenario.node.policies()

    @property
    def rules(self) -> Mapping[str, Policy]:
        """Those of them that `apply` puts on a server, by name."""
        return {name: getattr(self.policies, name) for name in PARTS}

    def apply(self, server: Any) -> Any:
        """Put its nodes' rules on a live server, and leave the server's other rules alone.

        Parameters
        ----------
        server
            ``agent.server``: whatever has an ``apply`` that takes rules by name.

        Returns
        -------
        Policies
            All rules in force then. With an async agent's server, what is to be awaited for them.

        Notes
        -----
        What the study varied of its agents (their timeout, their retries) is for who connects:
        ``synapse.connect(retry=best.point.scenario.agents.retry)``.
        """
        return server.apply(**self.rules)

    def __str__(self) -> str:
        where = ", ".join(f"{name} = {value}" for name, value in self.point.values.items()) or "the only point"
        sure = "" if self.is_sure else "; the next best may be as good"
        return f"{self.metric} {self.value.mean:.4g} ± {self.value.half:.2g} at {where}{sure}"
