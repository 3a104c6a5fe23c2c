"""A package of somebody else's that brings a policy, as pip leaves it: a module, and metadata with an entry point."""

from __future__ import annotations

from pathlib import Path

MODULE = '''
import math
from typing import ClassVar

from synapse.policies import Admitted, Policy, Rejected


class Curfew(Policy, frozen=True, tag="curfew"):
    """Admit no one from `until` on, in s."""

    family: ClassVar = "rate-limit"
    until: float
    per: str = "global"

    def start(self, now, before=None):
        return CurfewState(self)


class CurfewState:
    kind = "curfew"

    def __init__(self, policy):
        self.policy = policy

    def admit(self, now, cost=1):
        return Rejected(None, self.kind) if self.wait(now) else Admitted()

    def wait(self, now, cost=1):
        return 0.0 if now < self.policy.until else math.inf

    def spend(self, now, cost=1):
        pass

    def idle(self, now):
        return True
'''


def install_curfew(folder: Path) -> None:
    """Put it into a folder, to be found there once that is on the path."""
    (folder / "curfew_policy.py").write_text(MODULE)
    metadata = folder / "curfew_policy-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: curfew-policy\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text("[synapse.policies]\ncurfew = curfew_policy:Curfew\n")
