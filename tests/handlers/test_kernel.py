"""The kernel handler, with real kernels: output, state, interrupts, death, the bound, and the end."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from synapse.cortex.job import Job
from synapse.handlers import HandlerError, Query
from synapse.handlers.kernel import KernelHandler


@pytest.fixture(autouse=True)
def private_tmp(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Kernel files go to a directory of the test's own. Not tmp_path: a socket's path must be short."""
    tmp_path_factory.getbasetemp()  # which would else be made in here, and be gone with it
    with tempfile.TemporaryDirectory(prefix="syn") as directory:
        monkeypatch.setattr(tempfile, "tempdir", directory)
        yield Path(directory)


async def gone(pid: int) -> None:
    """Wait until a process has ended."""
    if psutil.pid_exists(pid):
        await asyncio.to_thread(psutil.wait_procs, [psutil.Process(pid)], 30)
    assert not psutil.pid_exists(pid)


def test_what_the_code_says_becomes_thoughts_in_order(stage: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SYNAPSE_API_KEY", "secret")
    monkeypatch.setenv("MY_TOKEN", "secret")
    monkeypatch.setenv("SYNAPSE_URL", "ws://here")
    code = """
import os, sys
from IPython.display import HTML, display
print("out")
print("err", file=sys.stderr, flush=True)
think("a plan", type="plan", depth=2)
display(HTML("<b>bold</b>"))
sorted({"SYNAPSE_API_KEY", "MY_TOKEN", "SYNAPSE_URL"} & set(os.environ))
"""

    async def main() -> None:
        async with stage({"kernel": KernelHandler(withhold=["*_TOKEN"])}) as s:
            asked = await s.ask("kernel", code)
            assert asked.thoughts[-3:] == [
                {"type": "plan", "content": "a plan", "depth": 2},
                {
                    "type": "display",
                    "content": "<IPython.core.display.HTML object>",
                    "data": {"text/plain": "<IPython.core.display.HTML object>", "text/html": "<b>bold</b>"},
                },
                {"type": "result", "content": "['SYNAPSE_URL']"},
            ]
            # The two streams are flushed by the kernel in an order of its own.
            assert {(thought["type"], thought["content"]) for thought in asked.thoughts[:-3]} == {
                ("stdout", "out\n"),
                ("stderr", "err\n"),
            }
            assert asked.status == "success"
            assert asked.data == {"status": "ok", "execution_count": 1, "result": "['SYNAPSE_URL']"}

            # An exception is an error with a traceback; the names stay, and the count goes on.
            failed = await s.ask("kernel", "x = 1\nnope")
            assert (failed.status, failed.data) == ("error", {"reason": "NameError: name 'nope' is not defined"})
            (traceback,) = failed.of("error")
            assert "Traceback (most recent call last)" in traceback
            assert "\x1b" not in traceback
            after = await s.ask("kernel", "x")
            assert after.data == {"status": "ok", "execution_count": 3, "result": "1"}

            # Nobody can be asked for input.
            assert (await s.ask("kernel", "input()")).data["reason"].startswith("StdinNotImplementedError")

    asyncio.run(main())


def test_each_agent_has_a_kernel_with_names_of_its_own(stage: Any) -> None:
    async def main() -> None:
        handler = KernelHandler()
        async with stage({"kernel": handler}) as s:
            asked = await asyncio.gather(
                s.ask("kernel", "x = 'ada'", agent="ada"), s.ask("kernel", "x = 'bob'", agent="bob")
            )
            assert [one.status for one in asked] == ["success", "success"]
            assert len(set(handler.pids.values())) == 2
            assert repr(handler) == "<KernelHandler python3 2/8 kernels>"
            for agent in ("ada", "bob"):
                assert (await s.ask("kernel", "x", agent=agent)).data["result"] == f"'{agent}'"

            # One agent's queries run one after another; one that waits can be interrupted.
            first = s.submit("kernel", "think('first')\nimport time; time.sleep(60)", agent="ada")
            waiting = s.submit("kernel", "y = 1", agent="ada")
            last = s.submit("kernel", "'y' in globals()", agent="ada")
            await first.thought("first")
            s.scheduler.interrupt(waiting.job, "enough")
            s.scheduler.interrupt(first.job, "enough")
            assert (await last.ended()).data["result"] == "False"

    asyncio.run(main())


LOOPS = {
    "a busy loop": "think('go')\nwhile True: pass",
    "time.sleep": "import time\nthink('go')\ntime.sleep(60)",
    "await asyncio.sleep": "import asyncio\nthink('go')\nawait asyncio.sleep(60)",
}


def test_an_interrupt_or_a_timeout_stops_the_code_and_the_kernel_lives_on(stage: Any) -> None:
    async def main() -> None:
        handler = KernelHandler()
        async with stage({"kernel": handler}) as s:
            await s.ask("kernel", "x = 1")
            before = handler.pids
            for name, code in LOOPS.items():
                asked = s.submit("kernel", code)
                await asked.thought("go")
                s.scheduler.interrupt(asked.job, "enough")
                assert asked.status == "interrupted"
                assert (await s.ask("kernel", "x")).data["result"] == "1", name

            # Also before the kernel has taken up the code, and by timeout.
            early = s.submit("kernel", "import time; time.sleep(60)")
            await asyncio.sleep(0)
            s.scheduler.interrupt(early.job, "enough")
            late = await s.ask("kernel", "import asyncio; await asyncio.sleep(60)", timeout=0.05)
            assert (early.status, late.status) == ("interrupted", "timeout")
            assert (await s.ask("kernel", "x")).data["result"] == "1"
            assert handler.pids == before

    asyncio.run(main())


def test_a_kernel_that_dies_is_a_clear_error_and_the_next_query_gets_a_new_one(stage: Any) -> None:
    async def main() -> None:
        handler = KernelHandler()
        async with stage({"kernel": handler}) as s:
            died = await s.ask("kernel", "import os; x = 1; os._exit(3)")
            assert died.status == "error"
            assert died.data["reason"].startswith("the kernel died (exit code 3)")

            fresh = await s.ask("kernel", "'x' in globals()")
            assert fresh.data == {"status": "ok", "execution_count": 1, "result": "False"}

            # Killed in the middle of a query.
            asked = s.submit("kernel", "think('go')\nwhile True: pass")
            await asked.thought("go")
            os.kill(handler.pids["ada"], signal.SIGKILL)
            assert (await asked.ended()).data["reason"].startswith("the kernel died (SIGKILL)")
            assert (await s.ask("kernel", "1")).data["execution_count"] == 1

            # Killed while nobody looked.
            os.kill(handler.pids["ada"], signal.SIGKILL)
            await asyncio.to_thread(os.waitid, os.P_PID, handler.pids["ada"], os.WEXITED | os.WNOWAIT)
            assert (await s.ask("kernel", "1")).data["execution_count"] == 1

            # Code may also leave on its own account.
            assert (await s.ask("kernel", "exit()")).status == "success"
            assert (await s.ask("kernel", "1")).data["execution_count"] == 1

    asyncio.run(main())


def test_code_that_resists_interrupts_loses_its_kernel(stage: Any) -> None:
    code = """
while True:
    try:
        think("go")
        while True: pass
    except KeyboardInterrupt:
        pass
"""

    async def main() -> None:
        handler = KernelHandler(interrupt_grace=0.3)
        async with stage({"kernel": handler}) as s:
            asked = s.submit("kernel", code)
            await asked.thought("go")
            pid = handler.pids["ada"]
            s.scheduler.interrupt(asked.job, "enough")
            assert (await s.ask("kernel", "1")).data["execution_count"] == 1
            await gone(pid)

    asyncio.run(main())


def test_at_the_bound_an_idle_kernel_makes_room_and_a_busy_one_does_not(stage: Any) -> None:
    async def main() -> None:
        handler = KernelHandler(max_kernels=1)
        async with stage({"kernel": handler}) as s:
            busy = s.submit("kernel", "think('go')\nimport time; time.sleep(60)", agent="ada")
            await busy.thought("go")
            refused = await s.ask("kernel", "1", agent="bob")
            assert (refused.status, refused.data) == ("error", {"reason": "all 1 kernels are busy (max_kernels)"})

            pid = handler.pids["ada"]
            s.scheduler.interrupt(busy.job, "enough")
            assert (await s.ask("kernel", "1", agent="bob")).status == "success"
            assert list(handler.pids) == ["bob"]
            await gone(pid)

    asyncio.run(main())


def test_a_flood_of_output_is_bounded_and_the_result_still_comes(stage: Any) -> None:
    async def main() -> None:
        async with stage({"kernel": KernelHandler(max_thought=10, max_output=100_000)}) as s:
            long = await s.ask("kernel", "print('x' * 20, flush=True)\n'y' * 20")
            assert long.of("stdout")[0] == "x" * 10 + "… [11 more characters]"
            assert long.data["result"] == "'yyyyyyyyy… [12 more characters]"

            flood = await s.ask("kernel", "for n in range(1000): print('x' * 1000, flush=True)\n42")
            assert flood.of("truncated") == ["output beyond 100000 bytes is left out"]
            assert len(flood.of("stdout")) < 100
            assert flood.data["result"] == "42"

            huge = await s.ask("kernel", "print('x' * 10_000_000, flush=True)\nraise ValueError('x' * 10_000_000)")
            assert huge.status == "error"
            assert len(str(huge.data)) < 2000

    asyncio.run(main())


def test_an_idle_kernel_is_ended_when_its_time_is_over(stage: Any) -> None:
    async def main() -> None:
        handler = KernelHandler(idle_timeout=0.01)
        async with stage({"kernel": handler}) as s:
            asked = s.submit("kernel", "import os; os.getpid()")
            pid = int((await asked.ended()).data["result"])
            await gone(pid)
            assert handler.pids == {}

    asyncio.run(main())


def test_closing_leaves_no_process_thread_descriptor_or_file(stage: Any, private_tmp: Path) -> None:
    async def main() -> list[int]:
        handler = KernelHandler()
        async with stage({"kernel": handler}) as s:
            code = "import subprocess; think(subprocess.Popen(['sleep', '600']).pid)\nwhile True: pass"
            busy = s.submit("kernel", code, agent="ada")
            starting = s.submit("kernel", "1", agent="bob")
            await s.ask("kernel", "1", agent="carl")
            await busy.any_thought()
            pids = [*handler.pids.values(), busy.thoughts[0]["content"]]
            assert list(private_tmp.iterdir())
            s.scheduler.interrupt(starting.job, "enough")
        with pytest.raises(HandlerError, match="the kernel handler is closed"):
            await handler(Query(Job("ada", "1", body={"q": ""})), None)  # type: ignore[arg-type]
        return pids

    asyncio.run(main())  # whatever is loaded or made once, is loaded and made now
    gc.collect()
    me = psutil.Process()
    before = me.num_fds(), threading.active_count()
    children = set(me.children(recursive=True))
    pids = asyncio.run(main())
    gc.collect()
    assert (me.num_fds(), threading.active_count()) == before
    assert set(me.children(recursive=True)) <= children
    assert not [pid for pid in pids if psutil.pid_exists(pid) and psutil.Process(pid).status() != "zombie"]
    assert list(private_tmp.iterdir()) == []


def test_a_kernel_that_cannot_start_is_a_clear_error(
    stage: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for name, argv in {"broken": ["sh", "-c", "echo no such thing >&2; exit 7"], "mute": ["sleep", "600"]}.items():
        spec = tmp_path / "kernels" / name / "kernel.json"
        spec.parent.mkdir(parents=True)
        spec.write_text(f'{{"argv": {argv!r}, "display_name": "x", "language": "x"}}'.replace("'", '"'))
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path))
    handlers = {
        name: KernelHandler(kernel_name=name, startup_timeout=30 if name == "broken" else 0.2)
        for name in ("absent", "broken", "mute")
    }

    async def main() -> None:
        async with stage(handlers) as s:
            assert (await s.ask("absent", "1")).data == {"reason": "there is no Jupyter kernel 'absent'"}
            assert (await s.ask("broken", "1")).data == {"reason": "the kernel died while it started (exit code 7)"}
            assert (await s.ask("mute", "1")).data == {"reason": "the kernel did not start within 0.2 s"}

    asyncio.run(main())
    assert "no such thing" in caplog.text


@pytest.mark.parametrize("option", ["max_kernels", "startup_timeout", "idle_timeout", "interrupt_grace", "max_output"])
def test_an_option_out_of_range_is_refused_by_name(option: str) -> None:
    options: dict[str, Any] = {option: 0}
    with pytest.raises(ValueError, match=f"{option}: must be more than 0, not 0"):
        KernelHandler(**options)
