"""Supabase's Python client, PyPI ``realtime``, in a process and with packages of its own."""

from __future__ import annotations

import pytest

from tests.support.foreign import play_in_python, scenarios

FILE = "python/realtime_scenarios.py"


@pytest.mark.parametrize("scenario", scenarios(FILE))
def test_realtime_python(scenario: str, environment: dict[str, str]) -> None:
    """Each scenario's name is the behaviour."""
    play_in_python(FILE, scenario, **environment)
