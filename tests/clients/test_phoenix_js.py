"""The official JavaScript client, npm ``phoenix``: the current version, one of 1.7 and one of 1.5."""

from __future__ import annotations

import pytest

from tests.support.foreign import play_in_node, scenarios

FILE = "js/phoenix.mjs"
PLAYS = [
    pytest.param(package, scenario, id=f"{package}-{scenario}")
    for package in ("phoenix", "phoenix17", "phoenix15")
    for scenario in scenarios(FILE)
    if package == "phoenix" or "authToken" not in scenario  # new in 1.8
]
COMPRESSED = [
    scenario for scenario in scenarios(FILE) if scenario.startswith(("a query", "bytes", "text", "a broadcast"))
]


@pytest.mark.parametrize(("package", "scenario"), PLAYS)
def test_phoenix_js(package: str, scenario: str, environment: dict[str, str]) -> None:
    """Each scenario's name is the behaviour."""
    play_in_node(FILE, scenario, PHOENIX=package, **environment)


@pytest.mark.parametrize("scenario", COMPRESSED)
def test_phoenix_js_compressed(scenario: str, compressing: dict[str, str]) -> None:
    """The same over permessage-deflate, which Node's WebSocket asks for by itself."""
    play_in_node(FILE, scenario, PHOENIX="phoenix", **compressing)
