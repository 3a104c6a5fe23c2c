"""Supabase's JavaScript client, npm ``@supabase/realtime-js``."""

from __future__ import annotations

import pytest

from tests.support.foreign import play_in_node, scenarios

FILE = "js/realtime.mjs"


@pytest.mark.parametrize("scenario", scenarios(FILE))
def test_realtime_js(scenario: str, environment: dict[str, str]) -> None:
    """Each scenario's name is the behaviour."""
    play_in_node(FILE, scenario, **environment)
