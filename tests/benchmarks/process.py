"""Whole processes of `backupkit check` and `backupkit report`, with all that they import.

The measure is ``python -c "import pandas"`` in turns with them. The histories end in the night
before, as those of a site do.
"""

import functools
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

import pandas as pd

from tests.benchmarks.figures import Figure, Section
from tests.benchmarks.large import large_history, list_names
from tests.benchmarks.measuring import Contestant, measured
from tests.benchmarks.scale import Scale
from tests.benchmarks.serving import ROOT

__all__ = ["list_environment", "peak_memory_of", "sections"]

PANDAS: Final = 'python -c "import pandas"'
EXIT_CODES: Final = (0, 1, 2, 3)
"""Of a check: what it found."""

OF_A_DAY: Final = pd.Timedelta(hours=7)
"""After midnight UTC, the night's poll is over."""

MIB: Final = 1024
"""KiB."""

_WITH_MEMORY: Final = """
import contextlib, runpy
with contextlib.suppress(SystemExit):
    runpy.run_module("backupkit", run_name="__main__", alter_sys=True)
with open("/proc/self/status") as status:
    print(*[line for line in status if line.startswith("VmHWM")])
"""
"""A command, and the most memory of its process, without anything else that is imported."""


def sections(scale: Scale) -> Iterator[Section]:
    """Measure checks, then reports."""
    with tempfile.TemporaryDirectory(prefix="backupkit-bench-") as folder:
        sites = {}
        if scale.thorough:
            sites["demo, 12 appliances"] = _demo(Path(folder))
        for appliances, nights in scale.processes:
            site = _site(Path(folder), appliances, nights)
            sites[f"{appliances:,} appliances x {nights} nights"] = site
        for command, turns in (("check", scale.turns), ("report", min(3, scale.turns))):
            where = ["--out", str(Path(folder) / "report.html")] if command == "report" else []
            runs = {name: [command, *options, *where] for name, options in sites.items()}
            yield _commands(command, runs, turns=turns, thorough=scale.thorough)


def _commands(
    command: str, sites: Mapping[str, list[str]], *, turns: int, thorough: bool
) -> Section:
    """Measure one command, with its arguments for each site."""
    runs = {f"{command}, {name}": arguments for name, arguments in sites.items()}
    contestants = [
        Contestant(PANDAS, lambda: _run("-c", "import pandas"), 0),
        *(
            Contestant(name, functools.partial(_run, "-m", "backupkit", *arguments), 0)
            for name, arguments in runs.items()
        ),
    ]
    timings = measured(contestants, turns=turns)
    bare = timings.pop(PANDAS)
    figures = [
        Figure(f"CPU: {name} / import pandas", timing.cpu / bare.cpu)
        for name, timing in timings.items()
    ]
    if thorough:
        figures += [
            Figure(f"{name}: peak memory", peak_memory_of(arguments), "MiB")
            for name, arguments in runs.items()
        ]
    return Section(
        f"A whole process of backupkit {command}; the last 30 days; median of {turns} turns",
        {PANDAS: bare, **timings},
        figures,
    )


def _run(*arguments: str) -> int:
    """Run Python, and return 0 for each exit code of a check."""
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        env=list_environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode not in EXIT_CODES or "Error" in done.stderr:
        raise SystemExit(f"{arguments}: {done.returncode}: {done.stderr}")
    return 0


def list_environment() -> dict[str, str]:
    """Return an environment in which modules are compiled once, as those of a package are."""
    return {name: text for name, text in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}


def peak_memory_of(arguments: Sequence[str]) -> float:
    """Run a command of backupkit, and return the most memory of its process [MiB]."""
    done = subprocess.run(
        [sys.executable, "-c", _WITH_MEMORY, *arguments],
        cwd=ROOT,
        env=list_environment(),
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    return int(done.stdout.split()[-2]) / MIB


def _demo(folder: Path) -> list[str]:
    """Collect from the demo's fleet, and return the options of a command."""
    _run("-m", "backupkit", "demo", "--out", str(folder / "demo"))
    return _options(folder / "demo")


def _site(folder: Path, appliances: int, nights: int) -> list[str]:
    """Make the history and the fleet.toml of a large site."""
    place = folder / f"{appliances}-{nights}"
    place.mkdir()
    # the newest night after which all were polled
    last = (pd.Timestamp.now("UTC") - OF_A_DAY).floor("D") + pd.Timedelta(hours=1)
    first = last - pd.Timedelta(days=nights - 1)
    large_history(place / "history.db", appliances=appliances, nights=nights, first=first)
    lines = ["[defaults]", 'user = "backup"', 'password = { env = "VCSA_PASSWORD" }']
    for name in list_names(appliances):
        lines += ["[[appliance]]", f'name = "{name}"', f'host = "{name}"']
    (place / "fleet.toml").write_text("\n".join([*lines, ""]), encoding="utf-8")
    return _options(place)


def _options(place: Path) -> list[str]:
    return ["--history", str(place / "history.db"), "--fleet", str(place / "fleet.toml")]
