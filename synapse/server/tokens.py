"""Signed, expiring tokens that name the agents their bearer may be.

A Jupyter user has one made by ``POST /cortex/api/tokens`` and hands it to a page or a script, which may then
join as those agents and nothing else. Signing is Tornado's (HMAC-SHA256); nothing is stored.
"""

from __future__ import annotations

import time
from typing import Annotated

import msgspec
from msgspec import Meta
from tornado.web import create_signed_value, decode_signed_value

from synapse.cortex import matches
from synapse.protocol import LONGEST_AGENT_ID

DAY = 86_400
_NAME = "synapse-token"
_FOREVER = 10_000  # days; a token's own expiry decides


class Bearer(msgspec.Struct, frozen=True):
    """What a token says.

    Parameters
    ----------
    agent
        The agent, or the pattern of agents (``lab-*``), that its bearer may be.
    user
        Who had it made.
    expires_at
        Unix time in s.
    """

    agent: Annotated[str, Meta(min_length=1, max_length=LONGEST_AGENT_ID)]
    user: str
    expires_at: float

    def covers(self, agent: str) -> bool:
        """Whether the bearer may be this agent, now.

        >>> Bearer("lab-*", "ada", 2e9).covers("lab-7"), Bearer("lab-*", "ada", 2e9).covers("hal")
        (True, False)
        """
        return time.time() < self.expires_at and matches(agent, self.agent)


class Tokens:
    """Makes tokens and reads them.

    Parameters
    ----------
    secret
        What they are signed with. Whoever has it can make tokens.
    """

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    def issue(self, agent: str, user: str, max_age: float = DAY) -> tuple[str, Bearer]:
        """Make a token for an agent, or a pattern of agents, that is good for `max_age` seconds."""
        bearer = Bearer(agent, user, time.time() + max_age)
        signed = create_signed_value(self._secret, _NAME, msgspec.json.encode(bearer))
        return signed.decode("ascii"), bearer

    def read(self, token: str) -> Bearer | None:
        """What a token says, None if it is not ours, was changed, or has expired."""
        value = decode_signed_value(self._secret, _NAME, token, max_age_days=_FOREVER)
        if value is None:
            return None
        bearer = msgspec.json.decode(value, type=Bearer)
        return bearer if time.time() < bearer.expires_at else None
