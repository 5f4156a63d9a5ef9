"""Measure fetching, decoding and judging against their peers, as ratios in one run: ``make bench``.

Servers run in processes of their own. Contestants take turns, so that a noisy machine affects
all; each figure is the median of the turns. Only a wrong count makes the run fail.
"""

import argparse
import faulthandler
import json
import os
import time
from pathlib import Path
from typing import Any

from tests.benchmarks import (
    decode,
    explore,
    first,
    history,
    judge,
    page,
    report,
    scale_out,
    second,
)
from tests.benchmarks.scale import FULL, QUICK

BENCHMARKS = {
    "first": first,
    "second": second,
    "decode": decode,
    "history": history,
    "judge": judge,
    "report": report,
    "explore": explore,
    "page": page,
    "scale_out": scale_out,
}

PATIENCE = 7200
"""After so long a run is stuck, and says where before it ends [s]."""


def main() -> None:
    """Run what the command line asks for, and print each section as soon as it is there."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--only", default=",".join(BENCHMARKS), help=f"some of {', '.join(BENCHMARKS)}"
    )
    parser.add_argument("--quick", action="store_true", help="small numbers, only to try it")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there, too")
    wanted = parser.parse_args()
    names = wanted.only.split(",")
    if not set(names) <= set(BENCHMARKS):
        parser.error(f"--only takes some of {', '.join(BENCHMARKS)}, with commas between them")
    faulthandler.dump_traceback_later(PATIENCE, exit=True)
    began = time.monotonic()
    found: dict[str, list[Any]] = {}
    print(f"{os.cpu_count()} CPUs, load before: {os.getloadavg()[0]:.1f}")
    if wanted.quick:
        print("A quick look: these numbers are too small to judge by.")
    for name in names:
        found[name] = []
        for section in BENCHMARKS[name].sections(QUICK if wanted.quick else FULL):
            print(section, flush=True)
            found[name].append(section.plain())
    print(f"\n{time.monotonic() - began:.0f} s in all")
    if wanted.json:
        wanted.json.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
