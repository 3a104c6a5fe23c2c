"""Whom a balancer chooses from, and how it is asked."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Protocol, TypeVar


class Node(Protocol):
    """What balancers look at in a node."""

    @property
    def name(self) -> str:
        """Its own among all."""

    @property
    def load(self) -> float:
        """How much it has to do, as far as the balancer knows: queries waiting and running, say."""


N = TypeVar("N", bound=Node)


class Balancer(Protocol):
    """The running state of a balancer."""

    def choose(self, nodes: Sequence[N], key: Hashable, u: float) -> N:
        """Where a query goes.

        Parameters
        ----------
        nodes
            Those that may be chosen, at least one.
        key
            Whose query it is.
        u
            A random number from [0, 1), drawn by the caller.
        """
