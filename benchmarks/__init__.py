"""Speed, as ratios measured side by side in one run. `scripts/bench` runs it; README.md explains the figures."""
