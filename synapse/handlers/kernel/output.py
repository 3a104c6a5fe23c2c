"""From a kernel's messages to thoughts, within bounds.

==============================  ===========================================================
the code does                   thought
==============================  ===========================================================
``print``, writes to stderr     type ``stdout`` or ``stderr``, content the text
``display(x)``, a plot          type ``display``
ends with an expression         type ``result``
raises                          type ``error``, content the traceback; `ename`, `evalue`
``think(c, type="…", …)``       as it says
more than `max_output` bytes    type ``truncated``, once; later output is left out
==============================  ===========================================================

The content of a display or result is its ``text/plain`` form. Where there is more than that, `data` is the
whole MIME bundle; where the code named the display (``display_id``), `display_id` tells updates apart.
"""

from __future__ import annotations

import json
import re
from typing import Any

Message = dict[str, Any]

THOUGHT = "application/vnd.synapse.thought+json"
"""The MIME type under which the kernel's own `think` displays a thought; see `startup`."""

_ANSI = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)")


def plain(text: object) -> str:
    """Text without terminal colours and without lone surrogates, which no JSON reader takes."""
    return _ANSI.sub("", str(text)).encode("utf-8", "replace").decode()


def short(text: str, most: int) -> str:
    """Text of at most `most` characters, and a word on what was left out."""
    if len(text) <= most:
        return text
    return f"{text[:most]}… [{len(text) - most} more characters]"


def thought_of(kind: str, content: Message, most: int) -> Message | None:
    """Turn an iopub message into a thought; None for what says nothing to an agent.

    Parameters
    ----------
    kind, content
        The message's type and content.
    most
        The longest text or MIME entry, in characters. Longer texts are cut, longer entries left out.
    """
    if kind == "stream":
        name = "stderr" if content.get("name") == "stderr" else "stdout"
        return {"type": name, "content": short(_clean(content.get("text", "")), most)}
    if kind in ("display_data", "update_display_data", "execute_result"):
        return _display("result" if kind == "execute_result" else "display", content, most)
    if kind == "error":
        return {
            "type": "error",
            "content": short(plain("\n".join(content.get("traceback", ()))), most),
            "ename": short(plain(content.get("ename", "")), 200),
            "evalue": short(plain(content.get("evalue", "")), 1000),
        }
    return None


def reason_of(reply: Message) -> str:
    """The exception of a failed execute_reply, on one line: ``NameError: name 'x' is not defined``."""
    name, value = plain(reply.get("ename", "error")), plain(reply.get("evalue", ""))
    return short(f"{name}: {value}" if value else name, 1000)


def _display(kind: str, content: Message, most: int) -> Message:
    bundle: Message = content.get("data") or {}
    thought = bundle.get(THOUGHT)
    if isinstance(thought, dict) and "content" in thought and "self" not in thought and _size(thought) <= most:
        return thought
    text = short(_clean(bundle.get("text/plain", "")), most)
    shown: Message = {"type": kind, "content": text}
    rich = {mime: _clean(value) for mime, value in bundle.items() if mime != "text/plain"}
    kept = {mime: value for mime, value in rich.items() if _size(value) <= most}
    if left_out := sorted(rich.keys() - kept.keys()):
        shown["left_out"] = left_out
    if kept:
        shown["data"] = {"text/plain": text, **kept}
    if display_id := (content.get("transient") or {}).get("display_id"):
        shown["display_id"] = str(display_id)
    return shown


def _clean(value: Any) -> Any:
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) else value


def _size(value: Any) -> int:
    return len(value) if isinstance(value, str) else len(json.dumps(value))
