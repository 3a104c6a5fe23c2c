"""A notebook's stop button, in a real kernel: what the cell awaits stops on the server, too."""

from __future__ import annotations

from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.manager import KernelManager

from tests.client.fake import PATIENCE, FakeCortex


def test_stops_an_awaiting_cell_and_its_query(
    cortex: FakeCortex, kernel: KernelManager, client: BlockingKernelClient
) -> None:
    client.execute(
        f"import synapse; agent = await synapse.aconnect({cortex.url!r})\n"
        "async for thought in agent.query('wait'): print(thought.content)"
    )
    while (message := client.get_iopub_msg(timeout=PATIENCE))["msg_type"] != "stream":
        assert message["msg_type"] != "error", message["content"]
    assert message["content"]["text"] == "wait\n"
    kernel.interrupt_kernel()
    assert cortex.wait_for_event("interrupt")[4]["reason"] == "user requested"
    while (message := client.get_iopub_msg(timeout=PATIENCE))["msg_type"] != "error":
        pass
    assert message["content"]["ename"] == "CancelledError"
