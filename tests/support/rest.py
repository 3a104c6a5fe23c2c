"""Calls of a live server's REST API, as Jupyter's user."""

from __future__ import annotations

import json
import urllib.request
from typing import Any

from tests.support.server import LiveServer


def put(server: LiveServer, **parts: Any) -> Any:
    """Replace some of the rules. Returns all that are in force then."""
    request = urllib.request.Request(f"{server.http}/api/policies", data=json.dumps(parts).encode(), method="PUT")
    request.add_header("Authorization", f"token {server.token}")
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.load(answer)


def delete(server: LiveServer, path: str) -> None:
    """DELETE something."""
    request = urllib.request.Request(f"{server.http}{path}", method="DELETE")
    request.add_header("Authorization", f"token {server.token}")
    urllib.request.urlopen(request, timeout=10).close()


def metrics(server: LiveServer) -> dict[str, float]:
    """Every sample that Prometheus gets, by its series: ``name{label=value,...}``."""
    from prometheus_client.parser import text_string_to_metric_families

    request = urllib.request.Request(f"{server.http}/api/metrics")
    request.add_header("Authorization", f"Bearer {server.token}")
    with urllib.request.urlopen(request, timeout=10) as answer:
        text = answer.read().decode()
    found: dict[str, float] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels = ",".join(f"{name}={value}" for name, value in sorted(sample.labels.items()))
            found[f"{sample.name}{{{labels}}}" if labels else sample.name] = sample.value
    return found
