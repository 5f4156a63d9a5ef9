"""From a judgement to the files and the mail: how long, and how large."""

import functools
from collections import deque
from collections.abc import Callable, Iterator
from email.message import EmailMessage

import pandas as pd

import backupkit as bk
from backupkit.assessment import Assessment
from backupkit.policy import Policy
from backupkit.reports.columns import stream_csv
from backupkit.reports.exports import stream_json
from backupkit.reports.mail import compose_mail
from backupkit.reports.redaction import redact
from backupkit.reports.workbook import build_workbook
from tests.benchmarks.figures import Figure, Section
from tests.benchmarks.fleet import Fleet, fleet_of
from tests.benchmarks.measuring import Contestant, measured
from tests.benchmarks.scale import Scale

__all__ = ["sections"]

JUDGE, PAGE, MAIL = "the judgement", "the page", "the mail"
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
        yield _report(fleet_of(appliances, nights), scale.turns)


def _report(fleet: Fleet, turns: int) -> Section:
    """Measure what is written of one fleet."""
    a = _judged(fleet)
    shown = bk.report(a)
    parts: dict[str, Callable[[], object]] = {
        JUDGE: functools.partial(_judged, fleet),
        PAGE: shown.html,
        PEER: functools.partial(a.appliances.to_html),
        MAIL: shown.message,
        "JSON": lambda: deque(stream_json(a), 0),
        "CSV of the runs": lambda: deque(stream_csv(a.slots), 0),
        "CSV of the jobs": lambda: deque(stream_csv(a.jobs), 0),
        "the spreadsheet": functools.partial(build_workbook, a),
        "aliases": functools.partial(redact, a, secret=b"secret"),
    }
    timings = measured(
        [Contestant(name, functools.partial(_count, make, a)) for name, make in parts.items()],
        turns=turns,
    )
    seconds = {name: timing.seconds for name, timing in timings.items()}
    small = len(a.appliances) < SMALL
    worst = a.replaced(appliances=_all_in_breach(a))
    return Section(
        f"The report of {len(a.appliances):,} appliances, {len(a.jobs):,} jobs, "
        f"{len(a.slots):,} expected runs; median of {turns} turns",
        timings,
        [
            Figure("size: the page", _kib(shown.html()), "KiB", LIMITS[small], True),
            Figure("size: the mail's HTML", _mailed(compose_mail(a)), "KiB", MAILED, True),
            Figure("size: it, all in breach", _mailed(compose_mail(worst)), "KiB", MAILED, True),
            Figure("time: the page / the judgement", seconds[PAGE] / seconds[JUDGE]),
            Figure(f"time: the page / {PEER}", seconds[PAGE] / seconds[PEER]),
            Figure("size: JSON", sum(map(len, stream_json(a))) / KIB, "KiB"),
            Figure("size: the spreadsheet", len(build_workbook(a)) / KIB, "KiB"),
        ],
    )


def _judged(fleet: Fleet) -> Assessment:
    return bk.evaluate_frames(
        fleet.jobs,
        fleet.polls,
        fleet.schedules,
        Policy(),
        start=fleet.start,
        end=fleet.end,
        now=fleet.end,
    )


def _all_in_breach(a: Assessment) -> pd.DataFrame:
    """Return rows of appliances in breach, each with a long reason."""
    return a.appliances.assign(state="breach", reason="Cannot write to the target. " * 20).astype(
        a.appliances.dtypes
    )


def _count(make: Callable[[], object], a: Assessment) -> int:
    """Make a report, and return the number of jobs."""
    make()
    return len(a.jobs)


def _mailed(message: EmailMessage) -> float:
    body = message.get_body(("html",))
    assert body is not None
    return _kib(body.get_content())


def _kib(text: str) -> float:
    return len(text.encode()) / KIB
