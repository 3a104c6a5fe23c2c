"""``jupyter synapse keys``: make keys for agents, list them, revoke them."""

from __future__ import annotations

import re
import time
from math import ceil
from pathlib import Path

import click
from jupyter_core.paths import jupyter_config_dir

from synapse.server.keystore import FILE_NAME, KeyStore, KeyStoreError, StoredKey

_AGE = re.compile(r"(\d+(?:\.\d+)?)([smhd]?)")
_UNITS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86_400}


def default_path() -> Path:
    """Where the keys are unless told otherwise: in Jupyter's configuration folder."""
    return Path(jupyter_config_dir()) / FILE_NAME


def _seconds(_: click.Context, __: click.Parameter, value: str | None) -> float | None:
    """A time: ``90``, ``90s``, ``30m``, ``12h``, ``7d``."""
    if value is None:
        return None
    found = _AGE.fullmatch(value)
    seconds = float(found[1]) * _UNITS[found[2]] if found else 0.0
    if seconds <= 0:
        raise click.BadParameter(f"{value!r} is no time: a number of seconds above 0, or as in 30m, 12h, 7d")
    return seconds


def _several(_: click.Context, __: click.Parameter, values: tuple[str, ...]) -> tuple[str, ...]:
    """An option that may be given several times, or once with commas."""
    return tuple(part.strip() for value in values for part in value.split(",") if part.strip())


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option(
    "--file",
    type=click.Path(dir_okay=False, path_type=Path),
    help=f"The file of keys: that of c.SynapseApp.keys_file, if you have set it. Default: {FILE_NAME} in Jupyter's "
    "configuration folder.",
)
@click.pass_context
def main(context: click.Context, file: Path | None) -> None:
    """Make API keys for agents, list them, revoke them.

    A running server heeds each change within a second. Only hashes are stored.
    """
    context.obj = KeyStore(file or default_path())


@main.command()
@click.argument("name")
@click.option(
    "--agents",
    multiple=True,
    default=("*",),
    show_default=True,
    callback=_several,
    metavar="PATTERN",
    help="Which agents its bearer may be: lab-7, 'lab-*'. May be given several times.",
)
@click.option(
    "--handlers",
    multiple=True,
    callback=_several,
    metavar="NAME",
    help="Which handlers it may use, of those that are open to keys (the default). May be given several times.",
)
@click.option("--rate", type=click.FloatRange(0, 1e9, min_open=True), help="Queries per second. Default: any number.")
@click.option("--burst", type=click.IntRange(1, 10**9), help="Queries at once. Default: those of a second.")
@click.option(
    "--max-age",
    callback=_seconds,
    metavar="TIME",
    help="How long it is good: 3600, 12h, 30d. Default: until it is revoked.",
)
@click.pass_obj
def add(
    store: KeyStore,
    name: str,
    agents: tuple[str, ...],
    handlers: tuple[str, ...],
    rate: float | None,
    burst: int | None,
    max_age: float | None,
) -> None:
    """Make a key. It is shown now, and never again."""
    if burst is not None and rate is None:
        raise click.UsageError("--burst goes with --rate")
    try:
        key = store.add(
            name,
            agents=agents,
            handlers=handlers or None,
            rate=rate,
            burst=burst or max(1, ceil(rate or 1)),
            max_age=max_age,
        )
    except KeyStoreError as error:
        raise click.ClickException(str(error)) from None
    click.echo(f"The key {name!r}, which is shown only now:", err=True)
    click.echo(key)


@main.command(name="list")
@click.pass_obj
def list_(store: KeyStore) -> None:
    """List the keys, with what each opens."""
    try:
        keys = list(store.read().values())
    except KeyStoreError as error:
        raise click.ClickException(str(error)) from None
    if not keys:
        click.echo(f"No keys in {store.path}.", err=True)
        return
    rows = [("NAME", "AGENTS", "HANDLERS", "RATE", "MADE", "EXPIRES"), *map(_row, keys)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


@main.command()
@click.argument("name")
@click.pass_obj
def revoke(store: KeyStore, name: str) -> None:
    """Revoke a key. Whoever is connected with it is disconnected."""
    try:
        store.revoke(name)
    except KeyStoreError as error:
        raise click.ClickException(str(error)) from None
    click.echo(f"Revoked {name!r}.", err=True)


def _row(key: StoredKey) -> tuple[str, ...]:
    expires = "expired" if key.expired else _date(key.expires_at)
    rate = "-" if key.rate is None else f"{key.rate:g}/s, burst {key.burst}"
    handlers = "-" if key.handlers is None else ",".join(key.handlers)
    return key.name, ",".join(key.agents), handlers, rate, _date(key.created_at), expires


def _date(at: float | None) -> str:
    return "-" if at is None else time.strftime("%Y-%m-%d %H:%M", time.localtime(at))
