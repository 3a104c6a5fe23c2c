"""The official JavaScript client through restarts of the server and failures of the network."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest

from tests.clients.conftest import told
from tests.support.foreign import play_in_node, scenarios
from tests.support.lean import LEAN, failures
from tests.support.outage import Proxy, Reborn

FILE = "js/outages.mjs"
PACKAGES = ["phoenix", "phoenix17", "phoenix15"]


@pytest.fixture(scope="module")
def phoenix(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reborn]:
    options = ["--SynapseApp.stop_grace=0.1"]
    with Reborn(tmp_path_factory.mktemp("server"), *options, config=LEAN) as reborn:
        yield reborn
        assert [failures(life) for life in reborn.lives] == [[] for _ in reborn.lives]


@pytest.mark.parametrize("package", PACKAGES)
@pytest.mark.parametrize("scenario", scenarios(FILE))
def test_phoenix_js(package: str, scenario: str, phoenix: Reborn) -> None:
    """Each scenario's name is the behaviour."""
    with Proxy(phoenix.server.url) as proxy:
        orders = {
            "restart": phoenix.restart,
            "kill": lambda: phoenix.restart(signal.SIGKILL),
            "cut": proxy.cut,
            "blackhole": proxy.blackhole,
            "heal": proxy.heal,
        }
        environment = {**told(phoenix.server), "CORTEX_ENDPOINT": proxy.url.removesuffix("/websocket")}
        play_in_node(FILE, scenario, orders, PHOENIX=package, **environment)
