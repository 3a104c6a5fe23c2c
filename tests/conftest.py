"""Settings of all tests."""

from __future__ import annotations

from hypothesis import settings

# No timing is asserted anywhere: a slow machine is no failure.
settings.register_profile("synapse", deadline=None)
settings.load_profile("synapse")
