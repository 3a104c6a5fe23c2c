"""What a formula says when it is asked outside its domain."""

from __future__ import annotations


class TheoryError(ValueError):
    """An argument outside the domain of a formula.

    Parameters
    ----------
    argument
        Its name in the signature, such as ``"lam"``.
    value
        What was given: the offending element, if it was an array.
    unit
        The unit of `value`, empty for a pure number.
    allowed
        The allowed range, in words that follow "must be".

    Examples
    --------
    >>> from synapse.theory import mmc
    >>> mmc(12, 1, 10)
    Traceback (most recent call last):
    ...
    synapse.theory.errors.TheoryError: lam = 12 /s: must be below c·mu = 10 /s, or the queue grows without bound
    """

    def __init__(self, argument: str, value: object, unit: str, allowed: str) -> None:
        super().__init__(argument, value, unit, allowed)  # all of them, so that it survives a process pool
        self.argument = argument
        self.value = value
        self.unit = unit
        self.allowed = allowed

    def __str__(self) -> str:
        shown = f"{self.value:.10g}" if isinstance(self.value, int | float) else repr(self.value)
        return f"{self.argument} = {shown}{self.unit and ' ' + self.unit}: must be {self.allowed}"
