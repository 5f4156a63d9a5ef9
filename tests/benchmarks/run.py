"""Measure backupkit against its peers, as ratios in one run: ``make bench``.

Servers run in processes of their own. Contestants take turns, so that a noisy machine affects
all; each figure is the median of the turns. Only a wrong result makes the run fail.
"""

import argparse
import faulthandler
import importlib
import json
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.benchmarks.machine import describe_machine
from tests.benchmarks.performance import render_page
from tests.benchmarks.scale import FULL, QUICK, TINY

__all__ = ["BENCHMARKS", "main"]

BENCHMARKS = (
    *("process", "collect_process", "judge", "first", "second", "large_fleet", "decode"),
    *("history", "report", "explore", "page", "scale_out"),
)
"""Modules with a function `sections`; what they need is imported when they run."""

FEW = ("process", "collect_process", "judge", "first", "second", "history")
"""What a quick run measures."""

SCALES = {"full": FULL, "quick": QUICK, "tiny": TINY}

PATIENCE = 7200
"""After so long a run is stuck, and says where before it ends [s]."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run what the command line asks for, and print each section as soon as it is there."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", help=f"some of {', '.join(BENCHMARKS)}, with commas")
    parser.add_argument("--scale", choices=SCALES, default="full", help="how much is measured")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there, too")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="and as a page")
    wanted = parser.parse_args(arguments)
    names = BENCHMARKS if wanted.scale == "full" else FEW
    if wanted.only:
        names = wanted.only.split(",")
    if not set(names) <= set(BENCHMARKS):
        parser.error(f"--only takes some of {', '.join(BENCHMARKS)}, with commas between them")
    faulthandler.dump_traceback_later(PATIENCE, exit=True)
    began = time.monotonic()
    machine = describe_machine() | {"scale": wanted.scale}
    print("\n".join(f"{name}: {text}" for name, text in machine.items()))
    found: dict[str, list[Any]] = {}
    for name in names:
        found[name] = []
        start = time.monotonic()
        module = importlib.import_module(f"tests.benchmarks.{name}")
        for section in module.sections(SCALES[wanted.scale]):
            shown = section if wanted.scale == "full" else section.without_targets()
            print(shown, flush=True)
            found[name].append(shown.plain())
        print(f"\n{name}: {time.monotonic() - start:.0f} s", flush=True)
    machine |= {
        "load after": f"{os.getloadavg()[0]:.1f}",
        "duration": f"{(time.monotonic() - began) / 60:.0f} min",
    }
    print(f"\n{machine['duration']} in all")
    faulthandler.cancel_dump_traceback_later()
    _write(wanted.json, json.dumps({"run": machine, "found": found}, indent=2) + "\n")
    _write(wanted.markdown, render_page(machine, found))


def _write(path: Path | None, text: str) -> None:
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
