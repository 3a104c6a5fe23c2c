"""A trace as a picture."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from matplotlib.figure import Figure

from synapse.telemetry import Finished, Rejected, plot, row, to_frame

PNG = b"\x89PNG\r\n\x1a\n"


@pytest.fixture
def frame(finished: Callable[..., Finished]) -> pd.DataFrame:
    statuses = ["success", "success", "error", "timeout", "interrupted"]
    endings = [
        finished(number, submitted=number / 10, first_thought=number / 10 + 0.1, at=number / 4 + 0.2, status=status)
        for number, status in enumerate(statuses * 4)
    ]
    rejected = Rejected(1.0, "n1", "ada", "f", 5, 1, "overloaded", "queue", None)
    return to_frame(map(row, [*endings, rejected]))


def test_it_is_saved_where_one_says(frame: pd.DataFrame, tmp_path: Path) -> None:
    plot(frame, tmp_path / "trace.png")
    assert (tmp_path / "trace.png").read_bytes().startswith(PNG)


def test_a_notebook_shows_it(frame: pd.DataFrame) -> None:
    figure = plot(frame)
    assert isinstance(figure, Figure)
    assert figure._repr_png_().startswith(PNG)


def test_all_axes_tell_their_unit(frame: pd.DataFrame) -> None:
    queries, thought, result = plot(frame).axes
    assert queries.get_xlabel().endswith("[s]")
    assert queries.get_ylabel().endswith("[s]")
    assert thought.get_xlabel() == "latency [ms]"
    assert result.get_xlabel() == "latency [s]"


def test_statuses_differ_in_colour_and_in_shape(frame: pd.DataFrame) -> None:
    lines = plot(frame).axes[0].get_lines()
    assert [line.get_label() for line in lines] == [
        "success (8)", "error (4)", "timeout (4)", "interrupted (4)", "rejected (1)",
    ]  # fmt: skip
    assert len({line.get_color() for line in lines}) == len({line.get_marker() for line in lines}) == 5


def test_the_quantiles_are_written_beside_the_distributions(frame: pd.DataFrame) -> None:
    for axes in plot(frame).axes[1:]:
        legend = axes.get_legend()
        assert legend is not None
        assert [text.get_text()[:3] for text in legend.get_texts()] == ["p50", "p99"]


def test_slow_outliers_make_the_axis_logarithmic(finished: Callable[..., Finished]) -> None:
    rows = [row(finished(number, at=1.0 + latency)) for number, latency in enumerate([0.01] * 9 + [9.0])]
    queries, _, result = plot(to_frame(rows)).axes
    assert (queries.get_yscale(), result.get_xscale()) == ("log", "log")


@pytest.mark.parametrize("kept", [slice(0, 0), slice(0, 1), slice(-1, None)], ids=["nothing", "one", "a rejected"])
def test_little_or_nothing_can_be_drawn(frame: pd.DataFrame, kept: slice) -> None:
    assert plot(frame[kept])._repr_png_().startswith(PNG)


def test_a_status_we_do_not_know_is_drawn(frame: pd.DataFrame) -> None:
    assert "cancelled (20)" in plot(frame[:20].assign(status="cancelled")).axes[0].get_lines()[0].get_label()


def test_it_needs_no_display_and_leaves_pyplot_alone() -> None:
    program = (
        "import sys; from synapse.telemetry import plot, to_frame;"
        "plot(to_frame([]))._repr_png_(); assert 'matplotlib.pyplot' not in sys.modules"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", program], check=True)
