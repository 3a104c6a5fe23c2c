"""``synapse study``: canonical studies, run and held against their claims."""

from __future__ import annotations

import math
from pathlib import Path

import msgspec
from rich.console import Console
from rich.table import Table

from synapse.experiment.lab import Lab
from synapse.experiment.library import pages
from synapse.experiment.page import Claim, Outcome, Page, number, shown


def listed() -> Table:
    """All that come with Synapse."""
    table = Table(title="Canonical studies")
    for column in ("", "name", "what is asked"):
        table.add_column(column)
    for name, page in pages().items():
        table.add_row(str(page.number), name, page.question)
    return table


def study(name: str, page: Page, lab: Lab, out: Path | None, console: Console) -> Outcome:
    """Run one, show what came out, and keep it as ``NAME.png`` and ``NAME.json``."""
    console.rule(page.title)
    console.print(page.question)
    outcome = page.run(lab)
    console.print(_table(outcome.claims))
    console.print(f"[bold]Found[/]   {page.finding}\n[bold]Advice[/]  {page.advice}", highlight=False)
    for source in page.sources:
        console.print(f"[dim]Source[/]  {source}", highlight=False)
    console.print(f"[dim]Differs[/] {page.differs}", highlight=False)
    if out is not None:
        _keep(name, outcome, lab, out)
    return outcome


def _table(claims: tuple[Claim, ...]) -> Table:
    table = Table()
    for column in ("", "claim", "found", "must be", "missed by"):
        table.add_column(column, justify="left" if column in ("", "claim") else "right")
    for claim in claims:
        mark = "[green]✓[/]" if claim.holds else "[red]✗[/]"
        missed = "" if claim.holds else number(claim.miss, 3)
        table.add_row(mark, claim.text, shown(claim.found), _allowed(claim), missed)
    return table


def _allowed(claim: Claim) -> str:
    if claim.low == -math.inf:
        return f"< {number(claim.high)}"
    if claim.high == math.inf:
        return f"> {number(claim.low)}"
    if math.isclose(claim.low, claim.high):
        return number(claim.low)
    return f"{number(claim.low)} to {number(claim.high)}"


def _keep(name: str, outcome: Outcome, lab: Lab, out: Path) -> None:
    out.mkdir(parents=True, exist_ok=True)
    outcome.plot().savefig(out / f"{name}.png")
    page = outcome.page
    told = {
        "name": name,
        **{field: getattr(page, field) for field in ("number", "title", "question", "finding", "advice", "differs")},
        "sources": list(page.sources),
        "size": lab.size,
        "seed": lab.seed,
        "claims": [
            {"text": claim.text, "holds": claim.holds, "found": shown(claim.found), "must_be": _allowed(claim)}
            for claim in outcome.claims
        ],
    }
    (out / f"{name}.json").write_bytes(msgspec.json.format(msgspec.json.encode(told), indent=1) + b"\n")
