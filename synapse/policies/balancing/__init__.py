"""Balancing: which of several nodes a query goes to."""

from typing import TypeAlias

from synapse.policies.balancing.consistent_hash import ConsistentHash
from synapse.policies.balancing.node import Balancer, Node
from synapse.policies.balancing.power_of_two import PowerOfTwo
from synapse.policies.balancing.simple import LeastLoaded, Random, RoundRobin

BalancingPolicy: TypeAlias = Random | RoundRobin | LeastLoaded | PowerOfTwo | ConsistentHash

__all__ = [
    "Balancer",
    "BalancingPolicy",
    "ConsistentHash",
    "LeastLoaded",
    "Node",
    "PowerOfTwo",
    "Random",
    "RoundRobin",
]
