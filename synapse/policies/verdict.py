"""What those who guard an entrance answer."""

from __future__ import annotations

from typing import Literal, TypeAlias

import msgspec


class Admitted(msgspec.Struct, frozen=True):
    """Come in. True, as a condition."""

    def __bool__(self) -> Literal[True]:
        return True


class Rejected(msgspec.Struct, frozen=True):
    """Not now. False, as a condition.

    Parameters
    ----------
    retry_after
        In s: who asks again then is admitted, if no one else has asked in between. None when it is not known
        when, or never.
    policy
        What refused: a policy's kind, or one of its rules.
    """

    retry_after: float | None = None
    policy: str = ""

    def __bool__(self) -> Literal[False]:
        return False


Verdict: TypeAlias = Admitted | Rejected

ADMITTED = Admitted()
