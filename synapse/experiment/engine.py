"""What computes: its version, so that a kept number is never taken for one that another engine would give."""

from __future__ import annotations

from functools import cache
from hashlib import blake2b
from pathlib import Path

import synapse
from synapse._version import __version__
from synapse.experiment.fingerprint import fingerprint
from synapse.experiment.shipping import foreign
from synapse.simulation import Scenario

CODE = (*("protocol", "policies", "cortex", "telemetry", "simulation"), "experiment/measure.py")
"""What decides what comes out of a run, and which numbers are taken of it."""


@cache
def engine() -> str:
    """The package's version, with a digest of the code that simulates: an edit makes another engine."""
    root = Path(synapse.__file__).parent
    digest = blake2b(digest_size=8)
    for part in CODE:
        for file in [root / part] if part.endswith(".py") else sorted((root / part).rglob("*.py")):
            digest.update(f"{file.relative_to(root).as_posix()}\0".encode() + file.read_bytes())
    return f"{__version__}+{digest.hexdigest()}"


def point_key(scenario: Scenario, seed: int) -> str:
    """A name for a scenario's content, the policies in it that are not Synapse's, the seed and what computes."""
    parts = [scenario.key, str(seed), engine(), *map(fingerprint, foreign(scenario))]
    return blake2b("\0".join(parts).encode(), digest_size=16).hexdigest()
