"""Little's law: L = λW."""

from __future__ import annotations

from synapse.theory.arrays import Numbers, elementwise
from synapse.theory.checks import nonnegative, positive
from synapse.theory.errors import TheoryError
from synapse.theory.result import Value


@elementwise
def little(*, number: Numbers | None = None, rate: Numbers | None = None, time: Numbers | None = None) -> Value:
    """Of the three in ``number = rate × time`` (L = λW), the one that is not given.

    It holds for any system in a steady state, whatever its laws and its order of service (Little 1961).

    Parameters
    ----------
    number
        Mean number inside.
    rate
        Throughput, /s.
    time
        Mean time inside, s.

    Examples
    --------
    >>> little(rate=200.0, time=0.06)
    12.0
    >>> little(number=12, rate=[200.0, 400.0])
    array([0.06, 0.03])
    """
    missing = [name for name, given in (("number", number), ("rate", rate), ("time", time)) if given is None]
    if len(missing) != 1:
        raise TheoryError("missing", missing, "", "exactly one of number, rate and time")
    if number is None:
        return nonnegative("rate", rate, "/s") * nonnegative("time", time, "s")
    if rate is None:
        return nonnegative("number", number) / positive("time", time, "s")
    return nonnegative("number", number) / positive("rate", rate, "/s")
