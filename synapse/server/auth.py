"""Who may come in: API keys, kept hashed and compared in constant time, and identities of the host."""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Mapping, Sequence
from hashlib import blake2b
from typing import Any

import msgspec

from synapse.cortex import Denial, Grant, matches
from synapse.protocol import WORKER
from synapse.server.keystore import StoredKeys
from synapse.server.tokens import Bearer


class Identity(msgspec.Struct, frozen=True):
    """Somebody the host knows (a Jupyter user) and allows to use the cortex."""

    name: str


class BadToken(msgspec.Struct, frozen=True):
    """The handshake had a token that no one here has made, or that has expired. A key may still open the door."""


class KeyRing:
    """API keys by name, those of the configuration and those of a file.

    The keys themselves are not kept: only their hashes, keyed under a secret of this process.

    Parameters
    ----------
    keys
        The configured ones.
    stored
        Those of a file.
    """

    def __init__(self, keys: Mapping[str, str] | None = None, stored: StoredKeys | None = None) -> None:
        self._stored = stored
        self._secret = secrets.token_bytes(32)
        self._hashes: dict[str, tuple[bytes, bool]] = {}
        for name, key in (keys or {}).items():
            self.add(name, key)

    def __len__(self) -> int:
        return len(self._hashes)

    def __repr__(self) -> str:
        return f"<KeyRing of {', '.join(self._hashes) or 'no key'}>"

    def add(self, name: str, key: str, *, trusted: bool = False) -> None:
        """Accept a key from now on. A trusted one opens all that an identity opens.

        Raises
        ------
        ValueError
            If the key is empty.
        """
        if not key:
            raise ValueError(f"api_keys: the key {name!r} is empty")
        self._hashes[name] = (self._hash(key), trusted)

    def find(self, key: str, agent: str) -> Grant | None:
        """What a key grants to an agent, None if it is not ours or not for this agent. Looks at every key in any case.

        The roster, which is no agent, is open to every key.
        """
        grant = self._find(key)
        stored = None if self._stored is None else self._stored.find(key)
        if stored is not None and (stored.covers(agent) or agent == "presence"):
            grant = grant or stored.grant
        return grant

    def _find(self, key: str) -> Grant | None:
        candidate, found = self._hash(key), None
        for name, (known, trusted) in self._hashes.items():
            if hmac.compare_digest(candidate, known):
                found = Grant(f"key:{name}", trusted)
        return found

    def _hash(self, key: str) -> bytes:
        return blake2b(key.encode("utf-8", "surrogatepass"), key=self._secret).digest()


_WITHOUT_KEY = {type(None): "api_key required", BadToken: "token not accepted"}


class DoorKeeper:
    """Decides on joins.

    An identity opens every agent's door, and so does a configured key; a stored key and a token open those of their
    own agents. The roster, which can only be read, is open to whoever could open some agent's door. The monitor is
    open to those that are trusted: see `synapse.cortex.MonitorChannel`; a token never opens it.

    Parameters
    ----------
    keys
        The API keys.
    key_workers
        Workers, by name or pattern, that whoever has a key may be. A worker sees the queries of others, so for all
        other names it takes an identity, or a trusted key. A token never does. A stored key does only if it is good
        for an agent called ``worker:<name>``, as one for all agents is, and opens the handler of that name.
    """

    def __init__(self, keys: KeyRing, key_workers: Sequence[str] = ()) -> None:
        self._keys = keys
        self._key_workers = tuple(key_workers)

    def authorize(self, agent: str, payload: Any, identity: Any) -> Grant | Denial:
        """Decide on a join of `agent`."""
        if isinstance(identity, Bearer) and agent != "monitor" and (identity.covers(agent) or agent == "presence"):
            return Grant(f"token:{identity.user}")
        return self._by_identity_or_key(agent, payload, identity)

    def authorize_worker(self, name: str, payload: Any, identity: Any) -> Grant | Denial:
        """Decide on the join of a worker."""
        handler = f"{WORKER}{name}"
        answer = self._by_identity_or_key(handler, payload, identity)
        if isinstance(answer, Denial) or answer.trusted:
            return answer
        is_open = any(matches(name, one) for one in self._key_workers)
        return answer if is_open and answer.opens(handler) else Denial("unauthorized")

    def _by_identity_or_key(self, agent: str, payload: Any, identity: Any) -> Grant | Denial:
        if isinstance(identity, Identity):
            return Grant(f"user:{identity.name}", trusted=True)
        key = payload.get("api_key") if isinstance(payload, dict) else None
        if key is None:
            return Denial(_WITHOUT_KEY.get(type(identity), "unauthorized"))
        return (self._keys.find(key, agent) if isinstance(key, str) else None) or Denial("unauthorized")
