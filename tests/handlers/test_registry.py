"""Handlers are found by name, and nothing is imported or made before it is needed."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from typing import Any

import pytest

from synapse.handlers import HandlerError, HandlerRegistry, HandlerUnavailable, UnknownHandler, echo


class Counter:
    """A handler class that counts its life's events."""

    made: list[Counter] = []

    def __init__(self, step: int = 1) -> None:
        self.step = step
        self.events: list[str] = []
        Counter.made.append(self)

    async def start(self) -> None:
        await asyncio.sleep(0)
        self.events.append("started")

    async def close(self) -> None:
        self.events.append("closed")

    async def __call__(self, query: Any, think: Any) -> int:
        return self.step


@pytest.fixture(autouse=True)
def _fresh_counter() -> None:
    Counter.made = []


def test_the_built_in_handlers_are_discovered() -> None:
    assert {"echo", "kernel"} <= set(HandlerRegistry.discover())


def test_a_dotted_name_is_registered_under_its_own_text() -> None:
    registry = HandlerRegistry.discover(["echo", "synapse.handlers.echo:echo"])
    assert registry.get("synapse.handlers.echo:echo") is echo


def test_a_name_that_was_not_registered_is_refused_even_if_it_would_import() -> None:
    registry = HandlerRegistry({"echo": echo, "sum": Counter})
    with pytest.raises(UnknownHandler, match=r"'os:system'; known: echo, sum") as caught:
        registry.get("os:system")
    assert caught.value.known == ("echo", "sum")


def test_a_configured_name_that_no_one_provides_is_refused_at_once() -> None:
    with pytest.raises(UnknownHandler, match="'ecko'"):
        HandlerRegistry.discover(["ecko"])


def test_options_for_a_handler_that_is_not_there_are_refused_at_once() -> None:
    with pytest.raises(UnknownHandler, match="'kernle'"):
        HandlerRegistry({"echo": echo}, {"kernle": {}})


@pytest.mark.parametrize("target", ["echo", ":echo", "synapse.handlers:", ""])
def test_a_dotted_target_must_name_module_and_attribute(target: str) -> None:
    with pytest.raises(ValueError, match=r"handlers\.x: must be 'module:attr'"):
        HandlerRegistry({"x": target})


def test_a_class_is_made_once_with_its_options_when_first_needed() -> None:
    registry = HandlerRegistry({"count": Counter}, {"count": {"step": 5}})
    assert not Counter.made
    assert registry.get("count") is registry.get("count")
    assert [counter.step for counter in Counter.made] == [5]


@pytest.mark.parametrize(
    ("target", "options"),
    [
        ("no.such.module:answer", {}),
        ("synapse.handlers:no_such_attribute", {}),
        (Counter, {"unknown": 1}),
        (echo, {"an option": "of a function"}),
        ("synapse.handlers:__all__", {}),
    ],
)
def test_a_handler_that_cannot_be_made_is_unavailable_and_says_no_more(target: Any, options: Any) -> None:
    registry = HandlerRegistry({"x": target}, {"x": options})
    with pytest.raises(HandlerUnavailable, match=r"^handler 'x' cannot be loaded \(\w+\)$"):
        registry.get("x")


def test_a_handler_is_started_once_though_many_ask_at_once() -> None:
    async def main() -> None:
        registry = HandlerRegistry({"count": Counter})
        await asyncio.gather(*(registry.open("count") for _ in range(5)))
        assert Counter.made[0].events == ["started"]
        await registry.close()
        assert Counter.made[0].events == ["started", "closed"]

    asyncio.run(main())


def test_a_start_that_fails_is_tried_again_by_the_next_query() -> None:
    class Shy:
        tries = 0

        def start(self) -> None:
            self.tries += 1
            if self.tries == 1:
                raise OSError("/secret/path")

        def __call__(self, query: Any, think: Any) -> None: ...

    async def main() -> None:
        registry = HandlerRegistry({"shy": Shy()})
        with pytest.raises(HandlerUnavailable, match=r"cannot be started \(OSError\)"):
            await registry.open("shy")
        assert callable(await registry.open("shy"))

    asyncio.run(main())


def test_a_start_may_say_what_is_wrong() -> None:
    class Keyless:
        def start(self) -> None:
            raise HandlerError("no key for the model")

        def __call__(self, query: Any, think: Any) -> None: ...

    async def main() -> None:
        with pytest.raises(HandlerError, match="no key for the model"):
            await HandlerRegistry({"model": Keyless()}).open("model")

    asyncio.run(main())


def test_one_that_fails_to_close_does_not_keep_the_others_open() -> None:
    class Stubborn(Counter):
        async def close(self) -> None:
            raise RuntimeError("no")

    async def main() -> None:
        registry = HandlerRegistry({"a": Stubborn, "b": Counter})
        registry.get("a")
        registry.get("b")
        await registry.close()

    asyncio.run(main())
    assert Counter.made[1].events == ["closed"]


def test_the_room_is_imported_without_kernel_machinery() -> None:
    code = (
        "import sys, synapse.handlers as h; h.HandlerRegistry.discover().get('echo')\n"
        "print(*(name for name in ('jupyter_client', 'zmq', 'tornado', 'IPython') if name in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == ""


def test_the_repr_lists_the_names() -> None:
    assert repr(HandlerRegistry({"b": echo, "a": echo})) == "<HandlerRegistry a, b>"
