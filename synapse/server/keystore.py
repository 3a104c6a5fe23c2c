"""Keys at rest: a file of hashes, changed by ``jupyter synapse keys`` and watched by the running server.

A key is 256 random bits that are shown once. The file has a hash of it, which needs no salt: what cannot be guessed
cannot be looked up in a table either.
"""

from __future__ import annotations

import hmac
import logging
import os
import re
import secrets
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from hashlib import blake2b
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from synapse.cortex import Grant, matches
from synapse.policies import TokenBucket
from synapse.protocol import LONGEST_AGENT_ID

log = logging.getLogger(__name__)

FILE_NAME = "synapse_keys.json"
PREFIX = "synapse-"  # so that who finds a key in a file knows what it is
RESERVED_NAMES = frozenset({"environment", "notebooks", "embedded"})  # the server's own, see `KeyRing`

_Pattern = Annotated[str, Meta(min_length=1, max_length=LONGEST_AGENT_ID)]
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,63}")


class KeyStoreError(Exception):
    """A file of keys that cannot be read or written, or a change that makes no sense; says where and what."""


class StoredKey(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What the file knows of a key.

    Parameters
    ----------
    name
        Its name: in logs, in lists, and to revoke it.
    hash
        Of the key, in hexadecimal digits.
    agents
        The agents, or patterns of agents, that its bearer may be.
    handlers
        The handlers that it may use, of those that are open to keys; None for all of these.
    rate, burst
        Queries per s, and how many at once, for all its bearers together; None for no limit of its own.
    created_at, expires_at
        Unix time in s; None for a key that does not expire.
    """

    name: str
    hash: Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]
    agents: Annotated[tuple[_Pattern, ...], Meta(min_length=1)] = ("*",)
    handlers: Annotated[tuple[str, ...], Meta(min_length=1)] | None = None
    rate: Annotated[float, Meta(gt=0, le=1e9)] | None = None
    burst: Annotated[int, Meta(ge=1, le=10**9)] = 1
    created_at: float
    expires_at: float | None = None

    def covers(self, agent: str) -> bool:
        """Whether its bearer may be this agent."""
        return any(matches(agent, pattern) for pattern in self.agents)

    @property
    def expired(self) -> bool:
        """Whether its time is over."""
        return self.expires_at is not None and time.time() >= self.expires_at

    @property
    def grant(self) -> Grant:
        """What it opens."""
        limit = None if self.rate is None else TokenBucket(self.rate, self.burst, "key")
        return Grant(f"key:{self.name}", rate_limit=limit, handlers=self.handlers)


class _File(msgspec.Struct, forbid_unknown_fields=True):
    keys: list[StoredKey]
    version: Annotated[int, Meta(ge=1, le=1)] = 1


class KeyStore:
    """The file.

    Parameters
    ----------
    path
        Where; it need not exist yet.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def __repr__(self) -> str:
        return f"<KeyStore {self.path}>"

    def read(self) -> dict[str, StoredKey]:
        """All keys by name; none if there is no file.

        Raises
        ------
        KeyStoreError
            If it cannot be read, or is no file of keys.
        """
        try:
            data = self.path.read_bytes()
            keys = msgspec.json.decode(data, type=_File).keys
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise KeyStoreError(f"{self.path}: cannot be read: {error.strerror}") from None
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise KeyStoreError(f"{self.path}: is no file of keys: {error}") from None
        named = {key.name: key for key in keys}
        if len(named) < len(keys) or any(not _is_name(name) for name in named):
            raise KeyStoreError(f"{self.path}: is no file of keys: names must be different, and names of keys")
        return named

    def add(
        self,
        name: str,
        *,
        agents: tuple[str, ...] = ("*",),
        handlers: tuple[str, ...] | None = None,
        rate: float | None = None,
        burst: int = 1,
        max_age: float | None = None,
    ) -> str:
        """Make a key and store its hash. Parameters are those of `StoredKey`; `max_age` is in s from now.

        Returns
        -------
        str
            The key, which is nowhere else.

        Raises
        ------
        KeyStoreError
            If the name is taken, a value is out of range, or the file cannot be read or written.
        """
        if not _is_name(name):
            raise KeyStoreError(
                f"{name!r} is no name of a key: a letter, then letters, digits and ._-, at most 64 in all, "
                f"and none of {', '.join(sorted(RESERVED_NAMES))}"
            )
        key = PREFIX + secrets.token_urlsafe(32)
        now = time.time()
        fields = {
            "name": name, "hash": hash_of(key), "agents": agents, "handlers": handlers, "rate": rate, "burst": burst,
            "created_at": round(now, 3), "expires_at": None if max_age is None else round(now + max_age, 3),
        }  # fmt: skip
        try:
            stored = msgspec.convert(fields, StoredKey)
        except msgspec.ValidationError as error:
            raise KeyStoreError(str(error)) from None
        with self._change() as keys:
            if name in keys:
                raise KeyStoreError(f"there is a key {name!r} already: revoke it first, or choose another name")
            keys[name] = stored
        return key

    def revoke(self, name: str) -> None:
        """Remove a key.

        Raises
        ------
        KeyStoreError
            If there is none of that name, or the file cannot be read or written.
        """
        with self._change() as keys:
            if name not in keys:
                known = ", ".join(sorted(keys)) or "none"
                raise KeyStoreError(f"there is no key {name!r} in {self.path}; there is: {known}")
            del keys[name]

    @contextmanager
    def _change(self) -> Iterator[dict[str, StoredKey]]:
        """Read, let change, write: one at a time, and whoever reads meanwhile sees the old or the new."""
        folder = self._lock()
        try:
            keys = self.read()
            yield keys
            self._write(_File(list(keys.values())))
            with suppress(OSError):  # not every file system can
                os.fsync(folder)
        finally:
            os.close(folder)  # and with it the lock

    def _lock(self) -> int:
        """Open the folder, and wait until no one else changes keys there."""
        import fcntl  # only here: a server on Windows does without

        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            folder = os.open(self.path.parent, os.O_RDONLY)
        except OSError as error:
            raise KeyStoreError(f"{self.path}: cannot be written: {error.strerror}") from None
        try:
            fcntl.flock(folder, fcntl.LOCK_EX)
        except OSError as error:
            os.close(folder)
            raise KeyStoreError(f"{self.path}: cannot be locked: {error.strerror}") from None
        return folder

    def _write(self, content: _File) -> None:
        data = msgspec.json.format(msgspec.json.encode(content), indent=2) + b"\n"
        temporary = ""
        try:
            handle, temporary = tempfile.mkstemp(dir=self.path.parent, prefix=f".{self.path.name}.")  # mode 0600
            with os.fdopen(handle, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, self.path)
        except OSError as error:
            if temporary:
                Path(temporary).unlink(missing_ok=True)
            raise KeyStoreError(f"{self.path}: cannot be written: {error.strerror}") from None


class StoredKeys:
    """The keys of a store as a running server sees them: always as the file is now.

    Parameters
    ----------
    store
        The file.

    Raises
    ------
    KeyStoreError
        If it cannot be read, or is no file of keys. Later it keeps what it had, and logs that.
    """

    def __init__(self, store: KeyStore) -> None:
        self._store = store
        self._seen = self._look()
        self._keys = store.read()
        self._over: set[str] = set()

    def __len__(self) -> int:
        return len(self._keys)

    def find(self, key: str) -> StoredKey | None:
        """A key that is good now. Looks at every one, whatever it finds."""
        self._reload()
        candidate, found = hash_of(key), None
        for stored in self._keys.values():
            if hmac.compare_digest(candidate, stored.hash):
                found = stored
        return None if found is None or found.expired else found

    def take_revoked(self) -> set[str]:
        """The names of those that were revoked, changed or have expired since the last time."""
        self._reload()
        for name in [name for name, key in self._keys.items() if key.expired]:
            del self._keys[name]
            self._over.add(name)
        over, self._over = self._over, set()
        return over

    def _reload(self) -> None:
        seen = self._look()
        if seen == self._seen:
            return
        self._seen = seen
        try:
            keys = self._store.read()
        except KeyStoreError as error:
            log.error("the keys stay as they were: %s", error)
            return
        self._over |= {name for name, key in self._keys.items() if keys.get(name) != key}
        self._keys = keys

    def _look(self) -> tuple[int, int, int] | None:
        """What tells one version of the file from another: it is replaced as a whole."""
        try:
            stat = self._store.path.stat()
        except OSError:
            return None
        return stat.st_ino, stat.st_mtime_ns, stat.st_size


def hash_of(key: str) -> str:
    """What is stored of a key."""
    return blake2b(key.encode("utf-8", "surrogatepass"), digest_size=32, person=b"synapse-keys").hexdigest()


def _is_name(name: str) -> bool:
    return _NAME.fullmatch(name) is not None and name not in RESERVED_NAMES
