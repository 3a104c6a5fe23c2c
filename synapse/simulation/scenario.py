"""A scenario: a cluster and its agents on half a page, as one frozen value that TOML files hold as well."""

from __future__ import annotations

import html
import json
import re
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from msgspec import Meta

from synapse.policies import PolicyError
from synapse.policies.fields import Delay, Seconds
from synapse.simulation import faults as rules
from synapse.simulation.faults import Fault
from synapse.simulation.spec import Agents, Cluster, Node, Presence, Section, toml, units

if TYPE_CHECKING:
    from synapse.simulation.run import Run
    from synapse.simulation.theorem import Theorem

PART = re.compile(r"[^.\[\]]+|\[\d+\]")  # of a dotted name: agents, timeout, [0]


class ScenarioError(PolicyError):
    """A file that holds no scenario: which file, which field, and what is allowed.

    Parameters
    ----------
    file
        Its path.
    path, problem
        As in `PolicyError`.
    """

    def __init__(self, file: str, path: str, problem: str) -> None:
        super().__init__(path, problem)
        self.file = file

    def __str__(self) -> str:
        return f"{self.file}: {super().__str__()}"

    def __reduce__(self) -> Any:
        return type(self), (self.file, self.path, self.problem)


class Scenario(Section, frozen=True):
    """A cluster and its agents.

    Parameters
    ----------
    duration
        How long is simulated, s.
    warmup
        How long it runs before anything is measured, s. Counters count from the beginning.
    agents, cluster, node
        What they are like.
    faults
        What goes wrong.
    presence
        How nodes tell each other who is there. None: not simulated.

    Examples
    --------
    >>> scenario = Scenario(agents={"count": 200, "think": {"kind": "exponential", "mean": 4}})
    >>> scenario.replace({"agents.count": 300}).agents.count
    300
    """

    duration: Annotated[Seconds, Meta(description="How long is simulated.")] = 60.0
    warmup: Annotated[Delay, Meta(description="How long it runs before anything is measured.")] = 10.0
    agents: Agents = Agents()
    cluster: Cluster = Cluster()
    node: Node = Node()
    faults: tuple[Fault, ...] = ()
    presence: Presence | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.warmup >= self.duration:
            raise PolicyError("warmup", f"must be shorter than `duration`, {self.duration:g} s; not {self.warmup:g}")
        rules.check(self.faults, self.cluster.nodes)
        self._check_that_faults_strike()

    def _check_that_faults_strike(self) -> None:
        """What strikes something that is not simulated would go unnoticed."""
        are_connected = self.agents.connection or self.presence or self.cluster.per == "connection"
        for place, fault in enumerate(self.faults):
            if isinstance(fault, rules.Netsplit) and self.presence is None:
                raise PolicyError(f"faults[{place}]", "parts what nodes say of presence: write [presence], too")
            if isinstance(fault, rules.ReconnectHerd) and not are_connected:
                raise PolicyError(f"faults[{place}]", "breaks connections: write [agents.connection], too")

    @classmethod
    def load(cls, path: str | Path) -> Scenario:
        """Read a TOML file. An empty one is a scenario; other files that it names stand beside it.

        Raises
        ------
        OSError
            If it cannot be read.
        ScenarioError
            If it is no scenario: where, and what would be.
        """
        with in_file(path):
            return cls.from_toml(text_of(path), Path(path).parent)

    @classmethod
    def from_toml(cls, text: str, folder: Path | None = None) -> Scenario:
        """Read TOML. Relative names of files in it are in `folder`.

        Raises
        ------
        PolicyError
            If it is no scenario.
        """
        table = parsed(text)
        scenario: Scenario = cls.decode(table if folder is None else located(table, folder))
        return scenario

    def to_toml(self) -> str:
        """The TOML that `from_toml` reads back, with units."""
        table = self.encode()
        if not self.faults:
            del table["faults"]
        if not self.agents.kinds:
            del table["agents"]["kinds"]
        return toml.dumps(table, units(self))

    def _repr_html_(self) -> str:
        """As TOML; what is not as usual, in bold."""
        usual = set(_headed(Scenario().to_toml()))
        lines = ((html.escape(line), (heading, line) in usual or not line) for heading, line in _headed(self.to_toml()))
        return "<pre>" + "\n".join(line if is_usual else f"<b>{line}</b>" for line, is_usual in lines) + "</pre>"

    def save(self, path: str | Path) -> None:
        """Write it to a file, which names other files by their whole paths."""
        here = Scenario.decode(located(self.encode(), Path.cwd()))
        Path(path).write_text(here.to_toml(), encoding="utf-8")

    def replace(self, changes: Mapping[str, Any] | None = None, /, **fields: Any) -> Scenario:
        """The same with other values.

        Parameters
        ----------
        changes
            Values by dotted name: ``{"agents.timeout.seconds": 2, "faults[0].at": 30}``. None takes one away.
        fields
            Values by plain name.

        Raises
        ------
        PolicyError
            If it is no scenario then.
        """
        table = self.encode()
        for name, value in {**(changes or {}), **fields}.items():
            _put(table, name, deepcopy(value))  # the next change may be one within it
        return Scenario.decode(table)  # type: ignore[no-any-return]

    @property
    def key(self) -> str:
        """A name for all that it says, the content of its files included: the same in any process, for ever."""
        text = json.dumps(_digested(self.encode()), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        return blake2b(text.encode(), digest_size=16).hexdigest()

    def run(
        self, seed: int = 1, *, replication: int = 0, queries: bool | None = None, progress: bool | Any = False
    ) -> Run:
        """Simulate it.

        Parameters
        ----------
        seed, replication
            The chance: the same give the same run, in any process.
        queries
            Whether to keep a table of all tries. None: if there are not too many agents for that.
        progress
            Whether to show a bar; or a function that is called with the time reached, s, about each second of it.
        """
        from synapse.simulation.world import World

        return World(self, seed, replication, queries).run(progress)

    def theory(self) -> Theorem:
        """Which theorem of `synapse.theory` holds for it, and what it says; or why none does."""
        from synapse.simulation.theorem import theorem

        return theorem(self)


@contextmanager
def in_file(path: str | Path) -> Iterator[None]:
    """Say of what is wrong that it is in a file."""
    try:
        yield
    except PolicyError as error:
        raise ScenarioError(str(path), error.path, error.problem) from None


def parsed(text: str) -> dict[str, Any]:
    """The table that TOML says.

    Raises
    ------
    PolicyError
        If it is none.
    """
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise PolicyError("", f"is no TOML: {error}") from None


def text_of(path: str | Path) -> str:
    """What a file says.

    Raises
    ------
    OSError
        If it cannot be read.
    PolicyError
        If it is no text.
    """
    try:
        return Path(path).read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise PolicyError("", f"is no text in UTF-8: {error}") from None


def _headed(text: str) -> Iterator[tuple[str, str]]:
    """The lines of TOML, each with the heading that it stands under."""
    heading = ""
    for line in text.splitlines():
        if line.startswith("["):
            heading = line
        yield heading, line


def _put(table: dict[str, Any], name: str, value: Any) -> None:
    """Set a value by its dotted name."""
    *parts, last = PART.findall(name) or [""]
    if not last:
        raise PolicyError("", "a value without a name: write agents.count, say")
    where: Any = table
    for part in parts:
        place = _place(where, part, name)
        where = where.setdefault(place, {}) if isinstance(where, dict) else where[place]
        if not isinstance(where, (dict, list)):
            raise PolicyError(name, f"names no field: {part!r} has none")
    where[_place(where, last, name)] = value


def _place(where: Any, part: str, name: str) -> Any:
    if not isinstance(where, list):
        return part
    if not part.startswith("[") or int(part[1:-1]) >= len(where):
        raise PolicyError(name, f"names none of {len(where)} in the list: write [0] for the first")
    return int(part[1:-1])


def located(value: Any, folder: Path) -> Any:
    """The same table of a scenario, with relative names of files made absolute."""
    if isinstance(value, dict):
        return {
            name: str(folder.absolute() / part)
            if name == "file" and part and isinstance(part, str)
            else located(part, folder)
            for name, part in value.items()
        }
    return [located(part, folder) for part in value] if isinstance(value, list) else value


def _digested(value: Any) -> Any:
    """The same table, with what files hold in place of their names."""
    if isinstance(value, dict):
        return {
            name: blake2b(Path(part).read_bytes(), digest_size=16).hexdigest()
            if name == "file" and part
            else _digested(part)
            for name, part in value.items()
        }
    return [_digested(part) for part in value] if isinstance(value, list) else value
