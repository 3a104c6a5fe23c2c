"""What computes: its version, so that a kept number is never taken for one that another engine would give."""

from __future__ import annotations

import inspect
from functools import cache
from hashlib import blake2b
from pathlib import Path

import synapse
from synapse._version import __version__
from synapse.policies import FAMILIES
from synapse.policies.base import Policy
from synapse.simulation import Scenario

ROOMS = ("protocol", "policies", "cortex", "telemetry", "simulation")
"""Those whose code decides what comes out of a run."""


@cache
def engine() -> str:
    """The package's version, with a digest of the code that simulates: an edit makes another engine."""
    root = Path(synapse.__file__).parent
    digest = blake2b(digest_size=8)
    for room in ROOMS:
        for file in sorted((root / room).rglob("*.py")):
            digest.update(f"{file.relative_to(root).as_posix()}\0".encode() + file.read_bytes())
    return f"{__version__}+{digest.hexdigest()}"


def foreign() -> list[type[Policy]]:
    """Policies that are registered and not Synapse's own: a worker has to know them, too."""
    known = [cls for kinds in FAMILIES.values() for cls in kinds.values()]
    return sorted({cls for cls in known if cls.__module__.split(".")[0] != "synapse"}, key=lambda cls: cls.__qualname__)


def point_key(scenario: Scenario, seed: int) -> str:
    """A name for a scenario's content, the seed and what computes."""
    parts = [scenario.key, str(seed), engine(), *map(_source, foreign())]
    return blake2b("\0".join(parts).encode(), digest_size=16).hexdigest()


def _source(cls: type) -> str:
    try:
        return inspect.getsource(cls)
    except (OSError, TypeError):  # typed into a prompt that keeps no source
        return f"{cls.__module__}.{cls.__qualname__}"
