"""From a judgement to the files and the mail: how long, and how large."""

import functools
import tempfile
from collections import deque
from collections.abc import Callable, Iterator
from email.message import EmailMessage
from pathlib import Path

import pandas as pd

import backupkit as bk
from backupkit.assessment import Assessment
from backupkit.reports.exports import stream_json, stream_table_csv
from backupkit.reports.mail import compose_mail
from backupkit.reports.redaction import redact
from backupkit.reports.workbook import build_workbook
from tests.benchmarks.figures import Figure, Section
from tests.benchmarks.fleet import Fleet, fleet_of
from tests.benchmarks.judge import assess
from tests.benchmarks.measuring import Contestant, measured
from tests.benchmarks.scale import Scale

__all__ = ["sections"]

JUDGE, PAGE, MAIL, FILES = "the judgement", "the page", "the mail", "all files"
PEER = "pandas' to_html of the same appliances"
KIB = 1024
SMALL = 100
"""Appliances; the page of fewer has to be smaller."""

LIMITS = {True: 400, False: 2_048}
"""What the page may take, of a small fleet and of a large one [KiB]."""

MAILED = 90
"""What the body of a mail may take, whatever the fleet [KiB]."""


def sections(scale: Scale) -> Iterator[Section]:
    """Measure the reports of fleets of two sizes."""
    for appliances, nights in scale.reported:
        with tempfile.TemporaryDirectory(prefix="backupkit-bench-") as folder:
            yield _report(fleet_of(appliances, nights), Path(folder), scale.turns)


def _report(fleet: Fleet, folder: Path, turns: int) -> Section:
    """Measure what is written of one fleet."""
    a = assess(fleet)
    shown = bk.report(a)
    page, packed = folder / "report.html", folder / "compressed.html"
    parts: dict[str, Callable[[], object]] = {
        JUDGE: functools.partial(assess, fleet),
        PAGE: shown.html,
        PEER: functools.partial(a.appliances.to_html),
        MAIL: shown.message,
        FILES: functools.partial(shown.save, page),
        "all files, compressed": functools.partial(shown.save, packed, compress=True),
        "JSON": lambda: deque(stream_json(a), 0),
        "CSV of the runs": lambda: deque(stream_table_csv(a, "slots"), 0),
        "CSV of the jobs": lambda: deque(stream_table_csv(a, "jobs"), 0),
        "the spreadsheet": functools.partial(build_workbook, a),
        "aliases": functools.partial(redact, a, secret=b"secret"),
    }
    timings = measured(
        [Contestant(name, functools.partial(_count, make, a)) for name, make in parts.items()],
        turns=turns,
    )
    cpu = {name: timing.cpu for name, timing in timings.items()}
    small = len(a.appliances) < SMALL
    worst = a.replaced(appliances=_all_in_breach(a))
    return Section(
        f"The report of {len(a.appliances):,} appliances, {len(a.assessed_jobs):,} jobs, "
        f"{len(a.slots):,} expected runs; median of {turns} turns",
        timings,
        [
            Figure("size: the page", _kib(shown.html()), "KiB", LIMITS[small], True),
            Figure("size: the mail's HTML", _mailed(compose_mail(a)), "KiB", MAILED, True),
            Figure("size: it, all in breach", _mailed(compose_mail(worst)), "KiB", MAILED, True),
            Figure("CPU: the page / the judgement", cpu[PAGE] / cpu[JUDGE]),
            Figure("CPU: all files / the judgement", cpu[FILES] / cpu[JUDGE]),
            Figure(f"CPU: the page / {PEER}", cpu[PAGE] / cpu[PEER]),
            Figure("size: JSON", _size(page.with_suffix(".json")), "KiB"),
            Figure("size: JSON, compressed", _size(packed.with_suffix(".json.gz")), "KiB"),
            Figure("size: the spreadsheet", len(build_workbook(a)) / KIB, "KiB"),
        ],
    )


def _all_in_breach(a: Assessment) -> pd.DataFrame:
    """Return rows of appliances in breach, each with a long reason."""
    return a.appliances.assign(state="breach", reason="Cannot write to the target. " * 20).astype(
        a.appliances.dtypes
    )


def _count(make: Callable[[], object], a: Assessment) -> int:
    """Make a report, and return the number of jobs."""
    make()
    return len(a.assessed_jobs)


def _mailed(message: EmailMessage) -> float:
    body = message.get_body(("html",))
    assert body is not None
    return _kib(body.get_content())


def _kib(text: str) -> float:
    return len(text.encode()) / KIB


def _size(path: Path) -> float:
    return path.stat().st_size / KIB
