"""Presence as a client sees it."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from typing import Any

from synapse.protocol import Frame


def sync(state: dict[str, Any], frames: Iterable[Frame]) -> dict[str, Any]:
    """What a client knows after these frames if it knew `state`: ``syncState`` and ``syncDiff`` of phoenix.js."""
    state = copy.deepcopy(state)
    for frame in frames:
        if frame.event == "presence_state":
            state = copy.deepcopy(frame.payload)
        elif frame.event == "presence_diff":
            _join(state, frame.payload["joins"])
            _leave(state, frame.payload["leaves"])
    return state


def refs(state: dict[str, Any]) -> dict[str, list[str]]:
    """A state in short: each key's ``phx_ref``, sorted."""
    return {key: sorted(meta["phx_ref"] for meta in entry["metas"]) for key, entry in state.items()}


def _join(state: dict[str, Any], joins: dict[str, Any]) -> None:
    for key, entry in joins.items():
        metas = state.setdefault(key, {"metas": []})["metas"]
        known = {meta["phx_ref"] for meta in metas}
        metas += [meta for meta in entry["metas"] if meta["phx_ref"] not in known]


def _leave(state: dict[str, Any], leaves: dict[str, Any]) -> None:
    for key, entry in leaves.items():
        left = {meta["phx_ref"] for meta in entry["metas"]}
        metas = [meta for meta in state.get(key, {"metas": []})["metas"] if meta["phx_ref"] not in left]
        if metas:
            state[key] = {"metas": metas}
        else:
            state.pop(key, None)
