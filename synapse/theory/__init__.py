"""Exact answers: what queueing theory says, where it says anything.

Each formula stands alone: numbers in, numbers out. Nothing here knows of scenarios, policies or servers.

Rates are per second and times are seconds; as only their ratios matter, any other unit does as well, if it is the
same throughout. Arguments come in the order of Kendall's notation: arrival rate `lam`, service rate `mu`, servers
`c`, then the rest. A number in any place may be an array; they are broadcast as numpy does. Results carry the
field's own names: `L`, `Lq`, `W`, `Wq`. What is asked outside a formula's domain is a `TheoryError` that names the
argument and its range.

>>> from synapse import theory
>>> queue = theory.mmc(7.2, 1, 8)
>>> queue
MMc(lam=7.2, mu=1, c=8, utilisation=0.9, p_wait=0.701533, L=13.5138, Lq=6.3138, W=1.87692, Wq=0.876916)
>>> round(queue.wait_quantile(0.99), 3)
5.313
"""

from synapse.theory.abandonment import Impatient, erlang_a, mmcd, mmcg
from synapse.theory.erlang import erlang_b, erlang_b_load, erlang_c
from synapse.theory.errors import TheoryError
from synapse.theory.finite_source import FiniteSource, finite_source
from synapse.theory.limiters import Admission, fixed_window, gcra, sliding_log, tick_bucket, token_bucket
from synapse.theory.little import little
from synapse.theory.mdc import MDc, mdc
from synapse.theory.mg1 import MG1, mg1
from synapse.theory.mmc import MMc, mmc
from synapse.theory.mmck import MMcK, mmck
from synapse.theory.patience import Deterministic, Exponential, Patience
from synapse.theory.power_of_d import PowerOfD, power_of_d
from synapse.theory.priorities import Priorities, cobham, cobham_mg1
from synapse.theory.result import Result
from synapse.theory.retries import RetryFixedPoint, amplification, fan_out, retry_fixed_point, retry_limit

__all__ = [
    "MG1",
    "Admission",
    "Deterministic",
    "Exponential",
    "FiniteSource",
    "Impatient",
    "MDc",
    "MMc",
    "MMcK",
    "Patience",
    "PowerOfD",
    "Priorities",
    "Result",
    "RetryFixedPoint",
    "TheoryError",
    "amplification",
    "cobham",
    "cobham_mg1",
    "erlang_a",
    "erlang_b",
    "erlang_b_load",
    "erlang_c",
    "fan_out",
    "finite_source",
    "fixed_window",
    "gcra",
    "little",
    "mdc",
    "mg1",
    "mmc",
    "mmcd",
    "mmcg",
    "mmck",
    "power_of_d",
    "retry_fixed_point",
    "retry_limit",
    "sliding_log",
    "tick_bucket",
    "token_bucket",
]
