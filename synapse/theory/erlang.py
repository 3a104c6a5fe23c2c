"""Erlang's two formulas of 1917: B, where calls are lost, and C, where they wait."""

from __future__ import annotations

from synapse.theory import numerics
from synapse.theory.arrays import Numbers, elementwise
from synapse.theory.checks import count, nonnegative, number, probability
from synapse.theory.errors import TheoryError
from synapse.theory.result import Value


@elementwise
def erlang_b(c: Numbers, a: Numbers) -> Value:
    r"""Probability that all servers are busy in M/G/c/c, where nobody waits.

    Parameters
    ----------
    c
        Servers, 0 or more.
    a
        Offered load λ·E[S], erlang, 0 or more.

    Returns
    -------
    float or array
        The probability that an arrival is turned away.

    Notes
    -----
    :math:`B = \frac{a^c/c!}{\sum_{k \le c} a^k/k!}` by the recursion :math:`B(0) = 1`,
    :math:`B(k) = aB(k-1)/(k + aB(k-1))` (Erlang 1917), which neither overflows nor cancels. Only the mean of
    the service time matters (Sevastyanov 1957), so it is also the answer for a concurrency limit without a
    queue, and for a sliding-window log.

    Examples
    --------
    >>> round(erlang_b(10, 5.084), 5)
    0.02
    >>> erlang_b([1, 2, 3], 1.0).round(4)
    array([0.5   , 0.2   , 0.0625])
    """
    c, a = count("c", c, "servers", least=0), nonnegative("a", a, "erlang")
    blocked = 1.0
    for k in range(1, c + 1):
        blocked = a * blocked / (k + a * blocked)
    return blocked


@elementwise
def erlang_b_load(c: Numbers, p_block: Numbers) -> Value:
    """Load that `c` servers carry with the blocking probability `p_block`: Erlang-B solved for a.

    Parameters
    ----------
    c
        Servers, 1 or more.
    p_block
        Blocking probability, above 0 and below 1.

    Returns
    -------
    float or array
        Offered load, erlang: the entry of the traffic tables.

    Examples
    --------
    >>> erlang_b_load([1, 10, 100], 0.01).round(4)
    array([1.01000e-02, 4.46120e+00, 8.40642e+01])
    """
    c, p_block = count("c", c, "servers"), probability("p_block", p_block)
    if not 0 < p_block < 1:
        raise TheoryError("p_block", p_block, "", "above 0 and below 1")
    # B ≥ 1 − c/a, so the load is below c/(1 − p)
    return numerics.root(lambda a: erlang_b(c, a) - p_block, 0.0, 1.01 * c / (1 - p_block))


@elementwise
def erlang_c(c: Numbers, a: Numbers) -> Value:
    """Probability to wait in M/M/c.

    Parameters
    ----------
    c
        Servers, 1 or more.
    a
        Offered load λ/μ, erlang, 0 or more and below `c`.

    Returns
    -------
    float or array
        The probability that an arrival finds all servers busy.

    Notes
    -----
    C = cB/(c − a(1 − B)) (Erlang 1917).

    Examples
    --------
    >>> round(erlang_c(8, 7.2), 6)
    0.701533
    """
    c, a = count("c", c, "servers"), number("a", a, "erlang")
    if not 0 <= a < c:
        raise TheoryError("a", a, "erlang", f"0 or more and below c = {c}, or the queue grows without bound")
    blocked = erlang_b(c, a)
    return c * blocked / (c - a * (1 - blocked))
