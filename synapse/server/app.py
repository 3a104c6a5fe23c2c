"""The Jupyter Server extension: configuration in, a running service out.

Enabled by the install in every Jupyter Server of the environment; ``jupyter synapse`` starts one of its own.
"""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import sys
import tomllib
from collections.abc import Generator, Mapping
from hashlib import blake2b
from importlib.util import find_spec
from pathlib import Path
from textwrap import dedent
from typing import Any, ClassVar, NoReturn, TypeVar, cast

import msgspec
from jupyter_server.extension.application import ExtensionApp
from jupyter_server.serverapp import ServerApp
from jupyter_server.utils import url_path_join
from traitlets import Bool, Dict, Float, Integer, List, TraitError, Unicode, default, validate
from traitlets.utils.importstring import import_item

from synapse._version import __version__
from synapse.channels import Channel, Routes
from synapse.cortex import HandlerAccess
from synapse.handlers import HandlerUnavailable, UnknownHandler
from synapse.policies import Policies, PolicyError, TokenBucket
from synapse.server.auth import DoorKeeper, KeyRing
from synapse.server.keys import default_path
from synapse.server.keys import main as keys_command
from synapse.server.keystore import KeyStore, KeyStoreError, StoredKeys
from synapse.server.rest import routes
from synapse.server.service import Service, Settings
from synapse.telemetry import Recorder

DEFAULT_PORT = 4000
USUAL_POLICIES = {"rate_limit": TokenBucket(rate=5000, burst=10_000, per="agent")}
"""A live server's rules where the configuration has none and the usual one is no rule: a flood is refused cheaply,
and no agent that waits for answers gets there."""
T = TypeVar("T")
# How to reach, from this machine, a server that listens at an address.
_LOOPBACK = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "[::1]", "localhost": "127.0.0.1"}  # noqa: S104


class SynapseApp(ExtensionApp):
    """The cortex protocol in a Jupyter Server: agents join, ask, are answered in a stream, see each other."""

    name = "synapse"
    description = """Start a Jupyter Server with Synapse in it, for agents.

    Agents connect to ws://HOST:PORT/cortex/websocket, by Jupyter's token or by an API key (--api-key).
    With no key configured, only Jupyter's own token opens the door.
    """
    examples = dedent("""\
        jupyter synapse                                  # http://127.0.0.1:4000, Jupyter's token
        jupyter synapse --api-key my-secret-key          # and a key for agents of your own
        jupyter synapse --policies rules.toml --port 8888 --SynapseApp.record=traces/monday
        jupyter synapse --generate-config                # a file with every option, explained
        jupyter synapse keys --help                      # make keys for certain agents, list them, revoke them
        """)
    version = __version__
    extension_url = "/lab" if find_spec("jupyterlab") else "/cortex/api/health"
    load_other_extensions = True
    classes = [ServerApp]  # noqa: RUF012  so that --help names its options too
    aliases = {  # noqa: RUF012
        **ExtensionApp.aliases,
        "api-key": ("SynapseApp.api_keys", "An API key that agents may join with; may be given several times."),
        "policies": ("SynapseApp.policies_file", "A TOML file with the rules: rate limits, slots, queues, …"),
        "port": "ServerApp.port",
        "ip": "ServerApp.ip",
    }

    api_keys = List(
        Unicode(), help="API keys that agents may join with, besides SYNAPSE_API_KEY of the server's environment."
    ).tag(config=True)
    handlers = Dict(  # type: ignore[assignment]  # see _prepare_handlers
        value_trait=List(Unicode()),
        default_value={"*": ["echo", "kernel", "worker:*"]},
        help="""Which handlers the agents of a pattern may use: {"lab-*": ["kernel"], "*": ["echo"]}. The first of
        a list is the default, a query may name another. A handler is a name of the entry-point group
        `synapse.handlers`, or "module:attribute", or "worker:NAME" for what a worker of that name answers;
        "worker:*" stands for all of them.""",
    ).tag(config=True)
    trusted_handlers = List(
        Unicode(),
        default_value=["kernel"],
        help="""Handlers for which an API key does not do, as they run code on this machine: they are open to
        Jupyter's users, and to the notebooks that this server starts. Set to [] to open them to every key.""",
    ).tag(config=True)
    handler_options = Dict(
        value_trait=Dict(),
        help="""Options of handlers that have some: {"kernel": {"max_kernels": 4, "idle_timeout": 600}}. See the
        handler's own documentation.""",
    ).tag(config=True)
    key_workers = List(
        Unicode(),
        help="""Workers that whoever has an API key may be, by name or pattern: ["spell", "lab-*"]. A worker sees the
        queries of others, so without this it takes a Jupyter user, or a notebook that this server has started.""",
    ).tag(config=True)
    channels = Dict(
        value_trait=Unicode(),
        help="""Channel classes of your own by topic pattern: {"room:*": "my.module.RoomChannel"}.""",
    ).tag(config=True)
    policies = Dict(
        help="""The rules: {"concurrency": {"kind": "fixed", "limit": 100}, "timeout": {"kind": "fixed", "seconds": 30},
        "queue": {"kind": "priority", "bound": 1000}}, each part optional. "handlers" has those of single handlers:
        {"kernel": {"concurrency": {"kind": "fixed", "limit": 4}}}.""",
    ).tag(config=True)
    policies_file = Unicode("", help="A TOML file with the rules, in the place of `policies`.").tag(config=True)
    keys_file = Unicode(
        "",
        help="""The file of keys that `jupyter synapse keys` writes. It is watched: changes need no restart.
        `synapse_keys.json` in Jupyter's configuration folder when empty.""",
    ).tag(config=True)
    idle_timeout = Float(
        45.0,
        help="Seconds without a byte from a client after which it is disconnected. 60 is a good value in production.",
    ).tag(config=True)
    max_message_bytes = Integer(
        2**20,
        help="""The largest message that is read, in bytes. A larger one is answered with `payload_too_large`; more than
        four times that closes the connection.""",
    ).tag(config=True)
    compression = Bool(
        False, help="Offer permessage-deflate (without context takeover: about 1 KiB a connection)."
    ).tag(config=True)
    linger = Float(
        30.0, help="Seconds that the queries of an agent without a connection go on before they are interrupted."
    ).tag(config=True)
    resume_grace = Float(
        30.0, help="Seconds that the stream of an agent without a connection is kept, for it to come back and resume."
    ).tag(config=True)
    resume_bytes = Integer(
        64 * 2**20,
        help="""What the kept streams of all agents may take together, in bytes. At the bound the oldest stream gives up
        its oldest messages; an agent that resumes is told of the gap.""",
    ).tag(config=True)
    busy_poll = Float(
        0.0001,
        help="""Seconds to look out for more after each message before the process sleeps: nearly halves the time of
        a lone client's round trip, for that much CPU time after each message that none follows. 0 switches it off.""",
    ).tag(config=True)
    stop_grace = Float(3.0, help="Seconds that running queries have to end when the server stops.").tag(config=True)
    watch_with_keys = Bool(
        False,
        help="""Whether an API key opens `cortex:monitor`, where all messages of all agents can be seen. Otherwise only
        Jupyter's users and the notebooks that this server starts may watch.""",
    ).tag(config=True)
    record = Unicode("", help="A folder for a Parquet trace of all queries; nothing is recorded when empty.").tag(
        config=True
    )

    service: Service | None = None  # None where the configuration was refused
    _recorder: Recorder | None = None
    _own_server: ClassVar[bool] = False  # whether this process is a server of ours, not another's with us in it

    def emit_alias_help(self) -> Generator[str, None, None]:
        """The help of the short options, with the port that a server of ours has."""
        option = ""
        for line in super().emit_alias_help():
            option = line if line.startswith("-") else option
            ours = option.startswith("--port") and line.strip() == "Default: 0"
            yield line.replace("0", str(DEFAULT_PORT)) if ours else line

    def write_default_config(self) -> None:
        """Write the file of ``--generate-config``. Without a terminal no one can be asked whether to overwrite it."""
        path = Path(self.config_dir) / f"{self.config_file_name}.py"
        self.answer_yes = self.answer_yes or "-y" in sys.argv  # Jupyter Server writes it before it reads the options
        if path.exists() and not self.answer_yes and not sys.stdin.isatty():
            print(f"{path} exists and was left as it is. Add -y to overwrite it.", file=sys.stderr)
            self.exit(1)
        super().write_default_config()

    @classmethod
    def make_serverapp(cls, **kwargs: Any) -> ServerApp:
        """Make the server of ``jupyter synapse``: a port of its own, unless told otherwise."""
        cls._own_server = True
        return super().make_serverapp(**{"port": DEFAULT_PORT, **kwargs})

    @default("open_browser")
    def _no_browser(self) -> bool:
        return bool(self.jupyter.config["ServerApp"].get("open_browser", False))

    @validate("policies")
    def _check_policies(self, proposal: Any) -> Any:
        _decode_policies(proposal["value"])
        return proposal["value"]

    @validate("handlers")
    def _check_handlers(self, proposal: Any) -> Any:
        try:
            HandlerAccess(proposal["value"])
        except ValueError as error:
            raise TraitError(f"SynapseApp.{error}") from None
        return proposal["value"]

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._environment: dict[str, str | None] = {}  # what our variables were before us

    def initialize_settings(self) -> None:
        """Make the service. A server of our own does not start with a configuration it does not understand."""
        # As Tornado's and asyncio's: our records, the audit log's among them, get Jupyter's format and handlers.
        logging.getLogger("synapse").parent = self.jupyter.log
        try:
            service = self._make_service()
            if self.record:
                self._recorder = self._make_recorder(service.cortex.epoch)
                service.cortex.bus.listen(self._recorder)
            self.service = service
        except TraitError as error:
            self._refuse(error)
        self.settings.update({"synapse": self})

    def _link_jupyter_server_extension(self, serverapp: ServerApp) -> None:
        """Read the configuration."""
        try:
            super()._link_jupyter_server_extension(serverapp)
        except TraitError as error:
            self._refuse(error)

    def _refuse(self, error: TraitError) -> NoReturn:
        """Do not run with a configuration that makes no sense. Another's server goes on without us; it logs why."""
        if self._own_server:
            self.log.critical("Bad configuration: %s", error)
            self.exit(1)
        raise error

    def _make_recorder(self, epoch: float) -> Recorder:
        try:
            return Recorder(self.record, epoch=epoch)
        except OSError as error:
            raise TraitError(f"SynapseApp.record: cannot write to {self.record!r}: {error.strerror}") from None

    def _make_service(self) -> Service:
        try:
            stored_keys = self._stored_keys()
            service = Service(
                loop=self.jupyter.io_loop.asyncio_loop,  # type: ignore[attr-defined]
                handlers=self.handlers,
                trusted_handlers=self.trusted_handlers,
                handler_options=self.handler_options,
                authorizer=DoorKeeper(self._key_ring(stored_keys), self.key_workers),
                stored_keys=stored_keys,
                secret=blake2b(self.jupyter.cookie_secret, person=b"synapse-tokens").digest(),
                policies=self._read_policies(),
                settings=self._settings(),
                channels=self._channel_classes(),
            )
            service.load_handlers()
        except (UnknownHandler, HandlerUnavailable) as error:
            raise TraitError(f"SynapseApp.handlers: {error}") from None
        except PolicyError as error:
            raise TraitError(f"SynapseApp.{'policies_file' if self.policies_file else 'policies'}: {error}") from None
        return service

    def _read_policies(self) -> Policies:
        if not self.policies_file:
            return _decode_policies(self.policies)
        if self.policies:
            raise TraitError("SynapseApp.policies_file: there is SynapseApp.policies, too; keep one of them")
        path = Path(self.policies_file).expanduser()
        try:
            with path.open("rb") as file:
                table = tomllib.load(file)
        except OSError as error:
            raise TraitError(f"SynapseApp.policies_file: {path}: cannot be read: {error.strerror}") from None
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise TraitError(f"SynapseApp.policies_file: {path}: is not TOML: {error}") from None
        return _decode_policies(table, f"policies_file: {path}")

    def _stored_keys(self) -> StoredKeys:
        path = Path(self.keys_file).expanduser() if self.keys_file else default_path()
        try:
            return StoredKeys(KeyStore(path))
        except KeyStoreError as error:
            raise TraitError(f"SynapseApp.keys_file: {error}") from None

    def _prepare_handlers(self) -> None:
        """Add the extension's URLs.

        The base class keeps URL patterns in a trait of the name that here says which agents may use which
        query handlers, hence this method instead of `initialize_handlers`.
        """
        assert self.service is not None
        base = self.jupyter.base_url
        patterns = [(url_path_join(base, path), kind, options) for path, kind, options in routes(self.service)]
        self.jupyter.web_app.add_handlers(".*$", cast("Any", patterns))  # type: ignore[no-untyped-call]

    async def _start_jupyter_server_extension(self, serverapp: ServerApp) -> None:
        """Tell the kernels that this server starts where the cortex is: they inherit its environment."""
        del serverapp
        if self.service is None:
            return
        if self.jupyter.sock:  # no kernel's client can reach a Unix socket by WebSocket URL
            self.log.info("Synapse %s: this server listens on a Unix socket, where agents cannot connect", __version__)
            return
        self._put_in_environment("SYNAPSE_URL", self.websocket_url())
        self._put_in_environment("SYNAPSE_API_KEY", self._notebook_key)
        self.log.info("Synapse %s: agents connect to %s", __version__, self.websocket_url())

    def current_activity(self) -> list[str] | None:
        """Open connections keep the server from its idle shutdown."""
        return self.service.cortex.connections.list_active() or None if self.service else None

    async def stop_extension(self) -> None:
        """Stop the service; leave the environment as it was found."""
        for name, value in self._environment.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
        self._environment.clear()
        try:
            if self.service is not None:
                await self.service.stop()
        finally:
            logging.getLogger("synapse").parent = logging.root
            if self._recorder is not None:
                await asyncio.get_running_loop().run_in_executor(None, self._recorder.close)

    @property
    def jupyter(self) -> ServerApp:
        """The server that this is an extension of."""
        return cast("ServerApp", self.serverapp)

    def websocket_url(self) -> str:
        """Where agents on this machine connect."""
        app = self.jupyter
        host = _LOOPBACK.get(app.ip, f"[{app.ip}]" if ":" in app.ip else app.ip)
        scheme = "wss" if app.certfile else "ws"
        return f"{scheme}://{host}:{app.port}{url_path_join(app.base_url, 'cortex/websocket')}"

    def _key_ring(self, stored: StoredKeys) -> KeyRing:
        try:
            keys = KeyRing({str(number): key for number, key in enumerate(self.api_keys, 1)}, stored)
        except ValueError as error:
            raise TraitError(f"SynapseApp.{error}") from None
        own = os.environ.get("SYNAPSE_API_KEY")
        if own:
            keys.add("environment", own)
        # Kernels of this server may do what its user may: they run that user's code already.
        self._notebook_key = secrets.token_urlsafe(24)
        keys.add("notebooks", self._notebook_key, trusted=True)
        return keys

    def _settings(self) -> Settings:
        values = {name: getattr(self, name) for name in Settings.__struct_fields__}
        for name, value in values.items():
            _decode(Settings, {name: value}, name)  # one by one, so that an error names its trait
        return Settings(**values)

    def _channel_classes(self) -> dict[str, type[Channel]]:
        classes: dict[str, type[Channel]] = {}
        for pattern, name in self.channels.items():
            try:
                kind = import_item(name)
            except ImportError as error:
                raise TraitError(f"SynapseApp.channels[{pattern!r}]: cannot import {name!r}: {error}") from None
            if not (isinstance(kind, type) and issubclass(kind, Channel)):
                raise TraitError(
                    f"SynapseApp.channels[{pattern!r}]: {name!r} is no subclass of synapse.channels.Channel"
                )
            classes[pattern] = kind
        try:
            Routes(classes)
        except ValueError as error:
            raise TraitError(f"SynapseApp.{error}") from None
        return classes

    def _put_in_environment(self, name: str, value: str) -> None:
        self._environment[name] = os.environ.get(name)
        os.environ[name] = value


def _decode_policies(value: Mapping[str, Any], trait: str = "policies") -> Policies:
    try:
        return Policies.decode({**USUAL_POLICIES, **value})
    except PolicyError as error:
        raise TraitError(f"SynapseApp.{trait}: {error}") from None


def _decode(kind: type[T], value: Any, trait: str) -> T:
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        raise TraitError(f"SynapseApp.{trait}: {error}") from None


def main(argv: list[str] | None = None) -> None:
    """Start ``jupyter synapse``, on uvloop where it is installed, or do what ``jupyter synapse keys`` asks for."""
    arguments = sys.argv[1:] if argv is None else argv
    if arguments[:1] == ["keys"]:
        keys_command(arguments[1:], prog_name="jupyter synapse keys")
    try:
        import uvloop  # an extra: several times the throughput
    except ImportError:
        pass  # the default loop does the same work, slower
    else:
        asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
    SynapseApp.launch_instance(argv)  # type: ignore[no-untyped-call]
