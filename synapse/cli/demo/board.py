"""What is known while the demo runs: who is here, who thinks what, how many queries have ended.

The agents write it, a screen reads it. It knows neither a terminal nor a connection.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from time import perf_counter

from synapse.cli.demo.script import Ask

KEPT = 100  # ended queries that a screen may still show


class Line:
    """One query as it goes along.

    Attributes
    ----------
    thoughts
        The text of each thought so far.
    status
        How it has ended, None until it has.
    words
        What there is to say of its ending.
    """

    def __init__(self, ask: Ask) -> None:
        self.ask = ask
        self.thoughts: list[str] = []
        self.status: str | None = None
        self.words = ""


class Board:
    """The whole picture.

    Parameters
    ----------
    names
        The agents, in the order of the roster.
    asks
        All that will be asked.

    Attributes
    ----------
    lines
        The queries of now, in the order of their asking: all that have not ended, and the last that have.
    news
        The ended queries that a screen without room for all of them should mention.
    """

    def __init__(self, names: Sequence[str], asks: Sequence[Ask]) -> None:
        self.names = tuple(names)
        self.number = {name: number for number, name in enumerate(names)}
        self.todo = Counter(ask.agent for ask in asks)
        self.total = len(asks)
        self.here: frozenset[str] = frozenset()
        self.current: dict[str, Line] = {}
        self.done: Counter[str] = Counter()
        self.endings: Counter[str] = Counter()
        self.lines: list[Line] = []
        self.news: list[Line] = []
        self.thoughts = 0
        self._started: float | None = None
        self._latest = 0.0

    @property
    def ended(self) -> int:
        """How many queries have ended."""
        return self.endings.total()

    @property
    def elapsed(self) -> float:
        """From the first query until now, or until the last has ended, in s."""
        if self._started is None:
            return 0.0
        return (self._latest if self.ended == self.total else perf_counter()) - self._started

    def present(self, agents: Iterable[str]) -> None:
        """The server's list of who is here."""
        self.here = frozenset(agents)

    def asked(self, ask: Ask) -> Line:
        """A query is on its way."""
        if self._started is None:
            self._started = perf_counter()
        line = self.current[ask.agent] = Line(ask)
        self.lines.append(line)
        if len(self.lines) > 2 * KEPT + len(self.names):
            ended = [line for line in self.lines if line.status is not None]
            keep = set(ended[-KEPT:])
            self.lines = [line for line in self.lines if line.status is None or line in keep]
        return line

    def thought(self, line: Line, content: object) -> None:
        """A query has had a thought."""
        self.thoughts += 1
        line.thoughts.append(str(content))

    def end(self, line: Line, status: str, words: str) -> None:
        """A query has ended."""
        line.status, line.words = status, words
        self._latest = perf_counter()
        self.endings[status] += 1
        self.done[line.ask.agent] += 1
        self.current.pop(line.ask.agent, None)
        if (status != "success" or line.ask.handler) and len(self.news) < KEPT:
            self.news.append(line)
