"""``python -m validation.gallery``: the canonical studies on one page, from what ``synapse study`` has left."""

from __future__ import annotations

from pathlib import Path

import click
import msgspec
from PIL import Image

HERE = Path(__file__).parents[1] / "simulations"
COLOURS = 128  # of a picture: all that lines and letters need, at a third of the size
INTRODUCTION = """\
# Canonical studies

    synapse study --list                # which there are
    synapse study herd --check          # runs one; exits with 1 if a claim does not hold
    synapse study --all --size 0.1      # all, with a tenth of the replications
    synapse study ./my_study.py         # one of your own
    scripts/gallery                     # all at full size, and this page anew; with names, those alone

What does a retry cost, a timeout save, a limit let pass? Each file here asks one such question, simulates it, draws one
figure, and claims what can turn out false: exact numbers where there is a theorem, published ones where there are some,
and what each policy costs. Intervals are at 95 %, over independent replications.

One of your own is a Python file with a `PAGE`, a `synapse.experiment.Page`; `priorities.py` is short to begin with.
`scripts/gallery` has made this page of what the studies found: change them, not it.
"""


class Claimed(msgspec.Struct, frozen=True):
    """A claim, and whether it holds."""

    text: str
    holds: bool


class Told(msgspec.Struct, frozen=True):
    """What ``synapse study`` tells of a page in ``NAME.json``, as far as it is shown."""

    name: str
    number: int
    title: str
    question: str
    finding: str
    advice: str
    differs: str
    sources: tuple[str, ...]
    size: float
    seed: int
    claims: tuple[Claimed, ...]

    @property
    def checked(self) -> str:
        """How many claims hold, of how many."""
        held = sum(claim.holds for claim in self.claims)
        those = f"{len(self.claims)} claims checked, all hold"
        if held < len(self.claims):
            those = f"{len(self.claims)} claims checked, **{len(self.claims) - held} do not hold**"
        return f"{those} (size {self.size:g}, seed {self.seed})"


def told(figures: Path) -> list[Told]:
    """All studies that a folder has, in their order."""
    read = [msgspec.json.decode(file.read_bytes(), type=Told) for file in figures.glob("*.json")]
    return sorted(read, key=lambda study: (study.number, study.name))


def page(studies: list[Told], figures: str) -> str:
    """The page, in Markdown; `figures` is the folder as the page links to it."""
    contents = "".join(f"| {study.number} | [{study.title}](#{study.name}) | {study.question} |\n" for study in studies)
    sections = "\n".join(_section(study, figures) for study in studies)
    return f"{INTRODUCTION}\n| | study | what is asked |\n| ---: | --- | --- |\n{contents}\n{sections}"


def _section(study: Told, figures: str) -> str:
    sources = "".join(f"- {source}\n" for source in study.sources)
    return f"""\
<a id="{study.name}"></a>

## {study.number}. {study.title}

*{study.question}*

![{study.title}]({figures}/{study.name}.png)

{study.finding}

**{study.advice}**

[`{study.name}.py`]({study.name}.py): {study.checked}. {study.differs}

{sources}"""


def shrink(picture: Path) -> None:
    """Give a picture a palette. Of no effect if it has one."""
    with Image.open(picture) as image:
        if image.mode == "P":
            return
        small = image.convert("RGB").quantize(COLOURS, Image.Quantize.FASTOCTREE)  # others shift rare colours
    small.save(picture, optimize=True)


@click.command(help="Make the page of all canonical studies from what `synapse study` has left.")
@click.option("--figures", type=click.Path(exists=True, file_okay=False, path_type=Path), default=HERE / "figures")
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), default=HERE / "README.md")
def main(figures: Path, out: Path) -> None:
    """Shrink the pictures, and write the page."""
    for picture in figures.glob("*.png"):
        shrink(picture)
    studies = told(figures)
    out.write_text(page(studies, figures.name), encoding="utf-8")
    click.echo(f"{out}: {len(studies)} studies, {sum(len(study.claims) for study in studies)} claims")


if __name__ == "__main__":
    main()
