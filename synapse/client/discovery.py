"""Where is the cortex? The order surprises nobody, and never ends at somebody else's server.

1. what the caller says, else ``SYNAPSE_URL`` (with ``SYNAPSE_API_KEY``);
2. else the Jupyter server that started this very process: ``jpserver-<pid>.json`` of our parent;
3. else nothing, and the caller starts an embedded cortex in this process.

Reads the environment and at most two files, and opens no connection. It must not import
``jupyter_server``, which takes 1.5 s.
"""

from __future__ import annotations

import getpass
import os
import re
import ssl
from collections.abc import Mapping
from pathlib import Path, PurePath
from urllib.parse import parse_qsl, urlencode, urlsplit

import msgspec

from synapse.client.errors import InvalidURL

_SCHEMES = {"http": "ws", "https": "wss", "ws": "ws", "wss": "wss"}
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
# What a browser's address bar shows after the base url of Lab, Notebook and their documents.
_PAGE = re.compile(r"/(lab|tree|notebooks|doc)(/.*)?$")


class Target(msgspec.Struct, frozen=True):
    """A cortex to connect to, and the secrets for it, which no repr shows.

    Parameters
    ----------
    url
        Of the WebSocket, without secrets: ``ws://127.0.0.1:8888/cortex/websocket``.
    api_key
        Goes into the join payload.
    token
        Jupyter's; goes into the ``Authorization`` header.
    trust
        Whose certificates to believe, for ``wss``; the system's authorities when None.
    """

    url: str
    api_key: str | None = None
    token: str | None = None
    trust: ssl.SSLContext | None = None

    @property
    def is_loopback(self) -> bool:
        """Whether the server is on this machine, so that no proxy has business in between."""
        return urlsplit(self.url).hostname in _LOOPBACK

    @property
    def is_secure(self) -> bool:
        """Whether it is reached by TLS."""
        return self.url.startswith("wss:")

    def __repr__(self) -> str:
        return f"Target({self.url!r})"


def find(
    url: str | None = None,
    *,
    api_key: str | None = None,
    token: str | None = None,
    environ: Mapping[str, str] = os.environ,
) -> tuple[Target, ...]:
    """The cortexes to try, best first.

    Returns
    -------
    tuple of Target
        One if the caller or the environment names it. Otherwise the parent Jupyter server, if there is
        one; it may lack the extension, and then, as when the tuple is empty, an embedded cortex is due.

    Raises
    ------
    InvalidURL
        If a given URL cannot be understood; it names the part.
    """
    named, key = environ.get("SYNAPSE_URL") or None, environ.get("SYNAPSE_API_KEY") or None
    home = None if named is None else normalise(named)
    if url is None and home is not None:
        return (Target(home.url, api_key or key, token or home.token),)
    if url is None:
        return tuple(Target(found.url, api_key or key, token or found.token) for found in parents(environ))
    target = normalise(url)
    if home is not None and home.url != target.url:
        key = None  # the key belongs to SYNAPSE_URL: do not show it to another server
    return (Target(target.url, api_key or key, token or target.token),)


def jupyter_token(target: Target, environ: Mapping[str, str] = os.environ) -> str | None:
    """Jupyter's token for a server: what came with its address, or what our parent wrote down if it is that server."""
    if target.token is not None:
        return target.token
    return next((parent.token for parent in parents(environ) if _same(parent, target)), None)


def is_explicit(url: str | None, environ: Mapping[str, str] = os.environ) -> bool:
    """Whether somebody named a server, so that no other may be used instead."""
    return bool(url or environ.get("SYNAPSE_URL"))


def normalise(url: str) -> Target:
    """Turn any address a user may have at hand into the WebSocket's.

    >>> normalise("http://localhost:8888/lab?token=abc").url
    'ws://localhost:8888/cortex/websocket'
    >>> normalise("wss://hub.example/user/bob/cortex").url
    'wss://hub.example/user/bob/cortex/websocket'

    Raises
    ------
    InvalidURL
        It names the part of the URL that is wrong.
    """
    text = url.strip()
    parts = urlsplit(text if "://" in text else f"http://{text}")
    scheme = _SCHEMES.get(parts.scheme)
    if scheme is None:
        raise InvalidURL("scheme", f"{parts.scheme!r} is none of http, https, ws, wss")
    if not parts.hostname:
        raise InvalidURL("host", "it is missing")
    if parts.username is not None:
        raise InvalidURL("user", "names and passwords do not belong into an address; use token=… or api_key=…")
    try:
        port = parts.port
    except ValueError:
        raise InvalidURL("port", "it must be a number from 0 to 65535") from None
    query = parse_qsl(parts.query, keep_blank_values=True)
    token = next((value for name, value in query if name == "token" and value), None)
    rest = urlencode([(name, value) for name, value in query if name not in ("token", "vsn")])
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    address = f"{scheme}://{host}{'' if port is None else f':{port}'}{_websocket_path(parts.path)}"
    return Target(f"{address}?{rest}" if rest else address, token=token)


def agent_name(suffix: str, environ: Mapping[str, str] = os.environ) -> str:
    """A name for an agent that was given none: its notebook's, or else its user's and process's.

    Parameters
    ----------
    suffix
        Something random: two kernels of one notebook are two agents.
    """
    notebook = _plain(PurePath(environ.get("JPY_SESSION_NAME", "")).stem)
    name = notebook or f"{_plain(_user()) or 'agent'}-{os.getpid()}"
    return f"{name}-{suffix}"


def _websocket_path(path: str) -> str:
    path = path.rstrip("/")
    if path.endswith("/websocket"):
        return path
    if path.endswith("/cortex"):
        return f"{path}/websocket"
    return f"{_PAGE.sub('', path)}/cortex/websocket"


class _ServerFile(msgspec.Struct):
    """The fields we need of ``jpserver-<pid>.json``."""

    url: str
    token: str = ""
    sock: str = ""


def parents(environ: Mapping[str, str] = os.environ) -> list[Target]:
    """The Jupyter server that started this process: our parent, or the one a kernel's child inherits by name."""
    from jupyter_core.paths import jupyter_runtime_dir

    folder = Path(jupyter_runtime_dir())
    for pid in dict.fromkeys((str(os.getppid()), environ.get("JPY_PARENT_PID", ""))):
        file = folder / f"jpserver-{pid}.json"
        if not pid.isdecimal() or not file.is_file():
            continue
        try:
            server = msgspec.json.decode(file.read_bytes(), type=_ServerFile)
        except (OSError, msgspec.DecodeError):
            continue  # being written, or going away
        if not server.sock:  # a server on a Unix socket has no port for us
            return [Target(normalise(server.url).url, token=server.token or None)]
    return []


def _same(one: Target, other: Target) -> bool:
    """Whether two addresses are of one server: this machine has several names."""
    ours, theirs = urlsplit(one.url), urlsplit(other.url)
    hosts = ours.hostname == theirs.hostname or (one.is_loopback and other.is_loopback)
    return hosts and (ours.scheme, ours.port, ours.path) == (theirs.scheme, theirs.port, theirs.path)


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):  # a container's user may have no name
        return ""


def _plain(text: str) -> str:
    """Only what is surely good in a topic."""
    return re.sub(r"[^A-Za-z0-9_.-]+", "-", text).strip("-.")[:48]
