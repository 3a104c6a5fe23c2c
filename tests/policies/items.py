"""What waits in the tests' queues."""

from __future__ import annotations


class Item:
    """Something that waits."""

    def __init__(
        self, priority: int = 5, name: str = "", agent: str = "a", key: str = "k", deadline: float | None = None
    ) -> None:
        self.priority = priority
        self.name = name
        self.agent = agent
        self.key = key
        self.deadline = deadline

    def __repr__(self) -> str:
        return f"{self.name or self.agent}@{self.priority}"
