"""Is the simulator right? Its answers beside exact ones: what `scripts/validate` and `tests/simulation` both run."""
