"""The benchmarks run: each section, with very small numbers."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.benchmarks.figures import Figure, Section
from tests.benchmarks.performance import render_page
from tests.benchmarks.run import BENCHMARKS, main
from tests.benchmarks.serving import ROOT
from tests.conftest import repeats

IN_A_BROWSER = ("page",)
"""Measured in tests/jupyter."""


@pytest.mark.filterwarnings("ignore:read_binary is deprecated")  # of VMware's client
@pytest.mark.parametrize("name", [name for name in BENCHMARKS if name not in IN_A_BROWSER])
def test_each_benchmark_has_figures(name: str, tmp_path: Path) -> None:
    """A run writes positive figures as JSON, and a row for each of them on the page."""
    found, page = tmp_path / "new" / "found.json", tmp_path / "page.md"
    main(["--scale", "tiny", "--only", name, "--json", str(found), "--markdown", str(page)])
    sections = json.loads(found.read_text(encoding="utf-8"))["found"][name]
    figures = [figure for section in sections for figure in section["figures"]]
    assert figures
    assert all(figure["value"] >= 0 for figure in figures)
    text = page.read_text(encoding="utf-8")
    assert all(f"| {figure['what']} | " in text for figure in figures)


@pytest.mark.long
@pytest.mark.parametrize("name", ["soak_watch", "two_collectors"][: repeats(1, 2)])
def test_each_run_by_hand_ends_well(name: str) -> None:
    """The programs that run for hours end with exit code 0 after a second, too."""
    command = [sys.executable, "-m", f"tests.benchmarks.{name}", "--minutes", "0.02"]
    subprocess.run(command, cwd=ROOT, check=True)


def test_an_unknown_benchmark_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """The message lists the benchmarks."""
    with pytest.raises(SystemExit):
        main(["--only", "jduge"])
    assert "judge" in capsys.readouterr().err


def test_a_missed_target_is_marked_and_comes_first() -> None:
    """The table of targets begins with those that are not reached."""
    section = {
        "title": "Two figures; median of 5 turns",
        "timings": [],
        "figures": [
            {**figure, "reached": reached}
            for reached, figure in (
                (True, {"what": "small", "value": 1.0, "unit": "x", "target": 2, "at_most": True}),
                (
                    False,
                    {"what": "a|b", "value": 1234.5, "unit": "x", "target": 2, "at_most": True},
                ),
            )
        ],
    }
    page = render_page({"machine": "2 x CPU"}, {"judge": [section]})
    assert "1 of 2 targets are reached." in page
    assert "| judge | Two figures | a\\|b | 1,234 x | ≤ 2 **missed** |\n" in page
    assert page.index("| judge | Two figures | a") < page.index("| judge | Two figures | small")


def test_a_figure_meets_a_minimum_or_a_maximum() -> None:
    """Without a target every value is fine."""
    assert Figure("a", 3, target=2).reached
    assert not Figure("a", 1, target=2).reached
    assert not Figure("a", 3, target=2, at_most=True).reached
    assert Figure("a", 3).reached


def test_a_small_run_has_no_targets() -> None:
    """The targets are for the complete run."""
    section = Section("One figure", {}, [Figure("a", 1, target=2)])
    assert [one.target for one in section.without_targets().figures] == [None]
    page = render_page({}, {"judge": [section.without_targets().plain()]})
    assert "Targets are for the complete run" in page
