"""Which handlers there are, by name; each is imported, made and started when it is first needed.

Names come from the entry-point group ``synapse.handlers`` and from configuration, never from the wire: a
name that was not registered is refused, even if it would import.
"""

from __future__ import annotations

import asyncio
import importlib
import inspect
import logging
from collections.abc import Iterable, Iterator, Mapping
from importlib.metadata import entry_points
from typing import Any, TypeAlias

from synapse.handlers.context import Handler
from synapse.handlers.errors import HandlerError, HandlerUnavailable, UnknownHandler

log = logging.getLogger("synapse.handlers")

GROUP = "synapse.handlers"
"""The entry-point group of packages that bring handlers."""

BUILT_IN = {
    "echo": "synapse.handlers.echo:echo",
    "kernel": "synapse.handlers.kernel:KernelHandler",
    "model": "synapse.handlers.model:ModelHandler",
}
"""The room's own handlers, there even when the package was not installed (a source tree on the path)."""

Target: TypeAlias = Handler | type | str
"""A handler, a class that makes one, or where to import either from (``"module:attr"``)."""


class HandlerRegistry:
    """Handlers by name.

    Parameters
    ----------
    targets
        What each name stands for. A class is instantiated when first needed.
    options
        Keyword arguments for classes, by handler name: ``{"kernel": {"max_kernels": 2}}``.

    Raises
    ------
    UnknownHandler
        If there are options for a name that has no target.
    ValueError
        If a dotted target is not of the form ``module:attr``.
    """

    def __init__(self, targets: Mapping[str, Target], options: Mapping[str, Mapping[str, Any]] | None = None) -> None:
        self._targets: dict[str, Target] = {}
        self._options = dict(options or {})
        self._made: dict[str, Handler] = {}
        self._starting: dict[str, asyncio.Task[None]] = {}
        self._started: set[str] = set()
        for name, target in targets.items():
            self._add(name, target)
        for name in self._options:
            if name not in self._targets:
                raise UnknownHandler(name, self._targets)

    @classmethod
    def discover(
        cls, names: Iterable[str] = (), options: Mapping[str, Mapping[str, Any]] | None = None
    ) -> HandlerRegistry:
        """Gather the built-in handlers, those of installed packages, and `names` of the form ``module:attr``.

        Parameters
        ----------
        names
            Handler names as a configuration lists them. A dotted one is registered under its own text;
            any other must be known already.
        options
            As in the constructor.

        Raises
        ------
        UnknownHandler
            For a name, or for options of a name, that no one provides.
        """
        targets: dict[str, Target] = dict(BUILT_IN)
        # By their text: where a backport of importlib.metadata is at work (Dask brings one), they are of another class.
        targets.update((point.name, f"{point.module}:{point.attr}") for point in entry_points(group=GROUP))
        for name in names:
            if ":" in name:
                targets[name] = name
            elif name not in targets:
                raise UnknownHandler(name, targets)
        return cls(targets, options)

    def __contains__(self, name: object) -> bool:
        return name in self._targets

    def __iter__(self) -> Iterator[str]:
        return iter(self._targets)

    def __len__(self) -> int:
        return len(self._targets)

    def __repr__(self) -> str:
        return f"<HandlerRegistry {', '.join(sorted(self._targets)) or 'empty'}>"

    def get(self, name: str) -> Handler:
        """Return the handler of this name, imported and made, but perhaps not started yet.

        Raises
        ------
        UnknownHandler
            If the name was not registered.
        HandlerUnavailable
            If it cannot be imported or made, or is not callable.
        """
        made = self._made.get(name)
        if made is not None:
            return made
        if name not in self._targets:
            raise UnknownHandler(name, self._targets)
        try:
            handler = self._make(name)
        except HandlerError:
            raise  # it says itself what is missing
        except Exception as error:
            log.exception("handler %r cannot be loaded", name)
            raise HandlerUnavailable(f"handler {name!r} cannot be loaded ({type(error).__name__})") from error
        self._made[name] = handler
        return handler

    async def open(self, name: str) -> Handler:
        """Return the handler of this name, ready: its ``start()``, if it has one, has been awaited once.

        Raises
        ------
        UnknownHandler, HandlerUnavailable
            As `get`; also if ``start()`` fails, and then the next call tries it again.
        """
        handler = self.get(name)
        start = getattr(handler, "start", None)
        if start is None or name in self._started:
            return handler
        task = self._starting.get(name)
        if task is None:
            task = self._starting[name] = asyncio.ensure_future(self._start(name, start))
        # Shielded, because others may wait for the same start when this query is interrupted.
        await asyncio.shield(task)
        return handler

    async def close(self) -> None:
        """Close the handlers that were made, those that have a ``close()``. A failure is logged."""
        starting = list(self._starting.values())
        for task in starting:
            task.cancel()
        await asyncio.gather(*starting, return_exceptions=True)
        made, self._made = self._made, {}
        self._started.clear()
        for name, handler in made.items():
            try:
                closing = getattr(handler, "close", lambda: None)()
                if inspect.isawaitable(closing):
                    await closing
            except Exception:
                log.exception("handler %r failed to close", name)

    def _add(self, name: str, target: Target) -> None:
        if isinstance(target, str) and not all(target.partition(":")):
            raise ValueError(f"handlers.{name}: must be 'module:attr', not {target!r}")
        self._targets[name] = target

    def _make(self, name: str) -> Handler:
        target: Any = self._targets[name]
        if isinstance(target, str):
            module, _, attribute = target.partition(":")
            target = importlib.import_module(module)
            for part in attribute.split("."):
                target = getattr(target, part)
        options = self._options.get(name, {})
        if inspect.isclass(target):
            target = target(**options)
        elif options:
            raise TypeError(f"handler {name!r} is no class and takes no options")
        if not callable(target):
            raise TypeError(f"handler {name!r} is not callable: {target!r}")
        return target  # type: ignore[no-any-return]

    async def _start(self, name: str, start: Any) -> None:
        try:
            starting = start()
            if inspect.isawaitable(starting):
                await starting
            self._started.add(name)
        except HandlerError:
            raise
        except Exception as error:
            log.exception("handler %r cannot be started", name)
            raise HandlerUnavailable(f"handler {name!r} cannot be started ({type(error).__name__})") from error
        finally:
            del self._starting[name]
