"""``%cortex`` and ``%%query`` in a real kernel, whose cortex is embedded in it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from IPython.core.error import UsageError
from IPython.core.interactiveshell import InteractiveShell
from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.manager import KernelManager
from traitlets.config import Config

import synapse
from synapse.client import io
from tests.client.fake import PATIENCE


class Cells:
    """Runs cells and keeps what stands below them.

    Attributes
    ----------
    pictures : list of str
        The HTML of the last cell's displays, in order, with each change of them.
    text : str
        What it has printed.
    """

    def __init__(self, client: BlockingKernelClient) -> None:
        self._client = client

    def start(self, code: str) -> None:
        """Begin a cell."""
        self.pictures: list[str] = []
        self.text = ""
        self._request = self._client.execute(code)

    def until(self, words: str) -> None:
        """Read until a picture has these words."""
        while not any(words in picture for picture in self.pictures):
            self._read()

    def ended(self) -> dict[str, Any]:
        """Read until the cell has ended. Returns the content of the kernel's reply."""
        while self._read() != "idle":
            pass
        while (reply := self._client.get_shell_msg(timeout=PATIENCE))["parent_header"]["msg_id"] != self._request:
            pass
        return dict(reply["content"])

    def run(self, code: str) -> str:
        """Run a cell that must do well. Returns what it printed."""
        self.start(code)
        reply = self.ended()
        assert reply["status"] == "ok", reply
        return self.text

    def _read(self) -> str | None:
        message = self._client.get_iopub_msg(timeout=PATIENCE)
        if message["parent_header"].get("msg_id") != self._request:
            return None
        content = message["content"]
        if message["msg_type"] in ("display_data", "update_display_data"):
            self.pictures.append(content["data"].get("text/html", ""))
        elif message["msg_type"] == "stream":
            self.text += content["text"]
        return content.get("execution_state")


@pytest.fixture
def cells(client: BlockingKernelClient) -> Cells:
    cells = Cells(client)
    cells.run("%load_ext synapse")
    return cells


class TestInANotebook:
    def test_an_answer_grows_below_the_cell_and_its_result_is_kept(self, cells: Cells) -> None:
        cells.run("%%query ada --out result\nthoughts=3 delay_ms=150")
        assert len(cells.pictures) >= 3
        assert "step 1" not in cells.pictures[0]
        assert "step 1" in cells.pictures[-1]
        assert "step 3" in cells.pictures[-1]
        assert "success" in cells.pictures[-1]
        assert cells.run("print(result.data)") == "{'echo': 'thoughts=3 delay_ms=150'}\n"

    def test_the_stop_button_interrupts_it_on_the_server_too(self, kernel: KernelManager, cells: Cells) -> None:
        cells.start("%%query ada --timeout 600\nthoughts=10000 delay_ms=20")
        cells.until("step 2")
        kernel.interrupt_kernel()
        assert cells.ended()["ename"] == "KeyboardInterrupt"
        assert "interrupted" in cells.pictures[-1]
        cells.run("%cortex")
        assert "1 connected, 0 unfinished queries" in cells.pictures[0]

    def test_the_agent_may_be_a_variable_and_pieces_of_a_text_are_joined(self, cells: Cells) -> None:
        cells.run(
            "import synapse\n"
            "def parrot(query, think):\n"
            "    for word in query.q.split(): think(word + ' ', type='text')\n"
            "grace = synapse.connect(agent='grace-1', handler='worker:parrot')\n"
            "worker = grace.serve(parrot)"
        )
        cells.run("%%query grace\nto be\nor <b>not</b>")
        assert "to be or &lt;b&gt;not&lt;/b&gt; </div>" in cells.pictures[-1]
        cells.run("%cortex")
        about, roster = cells.pictures
        assert f"Cortex {synapse.__version__}" in about
        assert "echo, kernel, worker:*" in about
        assert "fixed (limit 100)" in about
        assert "grace-1" in roster
        assert "parrot" in roster

    def test_what_is_refused_is_said_in_a_line(self, cells: Cells) -> None:
        cells.start("%%query ada --handler nobody\nhello")
        assert cells.ended()["ename"] == "UsageError"


class Shell(InteractiveShell):
    """A shell without a page, as a terminal's."""


@pytest.fixture
def shell() -> Iterator[InteractiveShell]:
    shell = Shell(config=Config({"HistoryManager": {"enabled": False}}))
    shell.extension_manager.load_extension("synapse")
    yield shell
    shell.extension_manager.unload_extension("synapse")
    io.io_thread().stop()


class TestInATerminal:
    def test_an_answer_is_printed_while_it_comes(
        self, shell: InteractiveShell, capsys: pytest.CaptureFixture[str]
    ) -> None:
        shell.run_cell_magic("query", "ada", "thoughts=2\n")
        lines = capsys.readouterr().out.splitlines()
        assert lines[-4:-2] == ["step 1", "step 2"]
        assert lines[-1].startswith("Result(success in ")

    def test_the_status_is_printed(self, shell: InteractiveShell, capsys: pytest.CaptureFixture[str]) -> None:
        shell.run_line_magic("cortex", "ada")
        out = capsys.readouterr().out
        assert f"cortex {synapse.__version__} at ws://127.0.0.1:" in out
        assert out.endswith("Roster(1 agent: ada)\n")

    def test_an_async_agent_cannot_be_asked(self, shell: InteractiveShell) -> None:
        shell.user_ns["ada"] = object.__new__(synapse.AsyncAgent)
        with pytest.raises(UsageError, match="AsyncAgent"):
            shell.run_cell_magic("query", "ada", "hello")

    def test_a_priority_that_is_none_is_refused_in_a_line(self, shell: InteractiveShell) -> None:
        with pytest.raises(UsageError, match="priority"):
            shell.run_cell_magic("query", "ada --priority 12", "hello")
