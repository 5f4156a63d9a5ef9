"""Write docs/data-model.md, docs/failure-causes.md, and the table of parameters in docs/sla.md.

``python docs/generate.py`` writes the pages. ``python docs/generate.py --check`` writes nothing
and exits with 1 if a page differs from what it would write.

The parameters come from `backupkit.policy.parameters`, the causes of failures from
`backupkit.causes` and docs/failure-texts.toml. The data model comes from the contracts of
the frames and the schema of a history.

Names, types, units and meanings come from `backupkit.tables` and `backupkit.history.schema`. This
script adds only what these do not hold: what a row is, its key, and what NULL means. A frame, a
table or a column without such a text is an error, and so is a text that nothing uses.
"""  # noqa: INP001 # a script, no package

import argparse
import json
import re
import sqlite3
import sys
import tomllib
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from backupkit import Policy, evaluate_frames, tables
from backupkit.analysis import failure_signatures
from backupkit.causes import Cause, known_causes
from backupkit.history.schema import (
    COLUMNS,
    SCHEMA_VERSION,
    TEXT_TABLES,
    build_statements,
    sql_kind,
)
from backupkit.policy import PARAMETERS
from backupkit.tables import JOBS, OBSERVATIONS, POLLS, SCHEDULES, Column, Table
from backupkit.tables.contract import (
    COUNT,
    FLAG,
    MESSAGE_LIST,
    NUMBER,
    SPAN,
    TEXT,
    TEXT_LIST,
    TIME,
)

PAGE: Final = Path(__file__).with_name("data-model.md")
SLA: Final = Path(__file__).with_name("sla.md")
CAUSES: Final = Path(__file__).with_name("failure-causes.md")
REAL_TEXTS: Final = Path(__file__).with_name("failure-texts.toml")


@dataclass(frozen=True, slots=True)
class Frame:
    """Documentation of a frame that its contract does not contain.

    Attributes
    ----------
    row : str
        What one row is.
    source : str
        Where a user gets the frame.
    key : str
        Which columns name a row; "" if none do.
    """

    row: str
    source: str
    key: str = ""


KEPT: Final[Mapping[str, Frame]] = {
    "OBSERVATIONS": Frame(
        "what one poll learnt about one job. A row is added only if something changed",
        "`Snapshot.observations`, `History.observations()`",
        "`appliance`, `job_id`, `observed_at`",
    ),
    "JOBS": Frame(
        "one job, with its newest known state", "`History.jobs()`", "`appliance`, `job_id`"
    ),
    "POLLS": Frame(
        "one poll of one appliance, good or failed",
        "`Snapshot.polls`, `History.polls()`",
        "`appliance`, `polled_at`",
    ),
    "SCHEDULES": Frame(
        "one schedule of one appliance; one more row after each change",
        "`Snapshot.schedules`, `History.schedules()`, `Assessment.schedules`",
        "`appliance`, `schedule`, `seen_at`",
    ),
    "ERRORS": Frame("one problem of one collection", "`Snapshot.errors`"),
    "CONFLICTS": Frame(
        "one time that an appliance reported another start or end of a job that had ended",
        "`History.conflicts()`",
        "`appliance`, `job_id`, `observed_at`",
    ),
    "RUNNING": Frame(
        "one job that runs or has just ended", "`backupkit.watch`", "`appliance`, `job_id`"
    ),
    "CHECKS": Frame(
        "one check of one appliance, in the order of the checks",
        "`backupkit.doctor`",
        "`appliance`, `check`",
    ),
    "TOTALS": Frame(
        "one appliance with a job or a poll. The counts cover the whole history",
        "`History.view(start=, end=, now=).totals`",
        "`appliance`",
    ),
}
"""Frames of what was collected."""

JUDGED: Final[Mapping[str, Frame]] = {
    "APPLIANCES": Frame(
        "one appliance: its state and all its figures, the worst first",
        "`Assessment.appliances`",
        "`appliance`",
    ),
    "INTERVALS": Frame(
        "one appliance in one state for some time. The rows of an appliance cover the period "
        "without gap or overlap",
        "`Assessment.intervals`",
        "`appliance`, `start`",
    ),
    "SLOTS": Frame(
        "one slot (expected run) of one schedule in the period",
        "`Assessment.slots`, and the `.csv` file of a report",
        "`appliance`, `schedule`, `slot`",
    ),
    "INCIDENTS": Frame(
        "one time without protection that touches the period",
        "`Assessment.incidents`",
        "`appliance`, `onset`",
    ),
    "METRICS": Frame(
        "one figure of the whole fleet; the names are [below](#figures-of-the-fleet)",
        "`Assessment.fleet`",
        "`metric`",
    ),
    "GROUPS": Frame(
        "one figure of one site or group", "`Assessment.groups`", "`property`, `name`, `metric`"
    ),
    "VERDICTS": Frame(
        "the fleet, one site or one group", "`Assessment.verdicts`", "`property`, `name`"
    ),
    "TREND": Frame(
        "one UTC day, ISO week or month of the whole fleet",
        "`backupkit.analysis.trend`, and the report",
        "`day`",
    ),
    "COVERAGE": Frame(
        "one appliance: what is known about it, and since when",
        "`Assessment.coverage`",
        "`appliance`",
    ),
    "FAILURES": Frame(
        "one failure signature of the period, the most frequent first",
        "`Assessment.failures`",
        "`signature`",
    ),
    "FAILURE_COUNTS": Frame(
        "the failed jobs of one appliance with one signature, build and target in one UTC hour",
        "`Assessment.failure_counts`",
        "`signature`, `appliance`, `day`, `hour`, `build`, `target`",
    ),
    "FAILURE_PARTS": Frame(
        "the failed jobs of one signature on one appliance, site, group, target, build, hour or "
        "day",
        "`backupkit.failures_by`",
        "`signature`, `part`",
    ),
    "CLUSTERS": Frame(
        "one property (target, build, site or group) that the appliances with one failure "
        "signature share more often than chance explains",
        "`Assessment.clusters`",
        "`signature`, `property`, `value`",
    ),
    "CLUSTER_TESTS": Frame(
        "one kind of value (target, build, site or group), tested for one failure signature",
        "`Assessment.cluster_tests`",
        "`signature`, `property`",
    ),
    "WARNINGS": Frame(
        "one warning about one appliance",
        "`Assessment.warnings`",
        "`appliance`, `kind`",
    ),
    "WARNING_SCORES": Frame(
        "one warning of the earlier assessment, or one breach without a warning",
        "`backupkit.compare(...).warnings`",
        "`appliance`, `kind`",
    ),
    "FORECAST": Frame(
        "one compliant appliance with 10 resolved slots", "`backupkit.forecast(...)`", "`appliance`"
    ),
    "RELIABILITY": Frame(
        "one range of probabilities",
        "`backupkit.forecast(...)`",
        "`low`, `high`",
    ),
    "BASELINES": Frame(
        "one appliance: its usual duration and size, and its growth",
        "`Assessment.baselines`",
        "`appliance`",
    ),
    "ANOMALIES": Frame(
        "one unusual value of one job, compared with the ten successes before it",
        "`Assessment.anomalies`",
        "`appliance`, `job_id`, `kind`",
    ),
    "LOADS": Frame("one backup target, the busiest first", "`Assessment.loads`", "`target`"),
    "INVENTORY": Frame(
        "one node of an SSO domain, or one appliance that was asked for its list",
        "`Assessment.inventory`",
    ),
    "LINT": Frame("one problem of a schedule, a policy or a clock", "`Assessment.lint`"),
    "ASSESSED_JOBS": Frame(
        "one job that the figures use",
        "`Assessment.assessed_jobs`, and the `.jobs.csv` file of a report",
        "`appliance`, `job_id`",
    ),
    "JOINED_JOBS": Frame(
        "one job that the figures use, with what is known of its appliance and its slot",
        "`Assessment.jobs`",
        "`appliance`, `job_id`",
    ),
    "CHANGES": Frame("one difference between two assessments of one fleet", "`backupkit.compare`"),
}
"""Frames of an assessment."""

DTYPES: Final[Mapping[object, tuple[str, str, str, str]]] = {
    TEXT: (f"`{TEXT}`", "string", "string", "text"),
    TIME: (
        f"`{TIME}`",
        "timestamp[us, UTC]",
        "ISO 8601 text in UTC",
        "microseconds since 1970 UTC",
    ),
    SPAN: (
        f"`{SPAN}`",
        "int64, microseconds",
        "seconds; the name ends in `_seconds`",
        "microseconds",
    ),
    COUNT: (f"`{COUNT}`", "int64", "integer", "integer"),
    NUMBER: (f"`{NUMBER}`", "double", "number", "number"),
    FLAG: (f"`{FLAG}`", "bool", "true or false", "0 or 1"),
    TEXT_LIST: ("list of str", "list of string", "list of strings", "JSON list"),
    MESSAGE_LIST: ("list of messages", "list of struct", "list of objects", "JSON list of objects"),
}
"""A dtype in pandas, in an export as Parquet, in the JSON of a report, and in SQL."""

ROWS: Final[Mapping[str, str]] = {
    "history": "The history itself: the table has exactly one row.",
    "appliances": "One row for each appliance, with the sums that reports need.",
    "jobs": "One row for each job, with its newest known state.",
    "observations_apart": "One row for each observation that is not a row of `jobs`.",
    "polls": "One row for each poll of an appliance.",
    "schedules": "One row for each change of a schedule.",
    "appends": "One row for each append or removal: the ledger.",
    "texts": "One row for each text that other tables name by number.",
    "messages": "One row for each list of messages that other tables name by number.",
    "observations": "One row for each observation: those of `observations_apart`, and the rows of "
    "`jobs` with an `append_id`.",
    "v_jobs": "One row for each job. Names and texts stand in place of numbers.",
    "v_last_success": "One row for each appliance, with its newest success.",
    "v_failures": "The rows of `v_jobs` whose outcome is failure, with the same columns.",
}
"""What a row of each table or view of a history is."""

MEANINGS: Final[Mapping[str, Mapping[str, str]]] = {
    "history": {
        "schema_version": f"Version of these tables; {SCHEMA_VERSION} today.",
        "identity": "32 random hexadecimal digits of this history; reports derive aliases from it.",
        "created_at": "When the history was created.",
        "head": "Head digest: `digest` of the newest row of `appends`; empty before the first.",
        "thinned_to": "Id of the newest append whose polls were considered for removal.",
    },
    "appliances": {
        "id": "Number of the appliance in this history.",
        "name": "The appliance's name in fleet.toml.",
        "polls": "Good and failed polls; those that were thinned out still count.",
        "polls_ok": "The good ones among them.",
        "jobs": "Jobs known.",
        "jobs_listed": "Those that the appliance still lists.",
        "list_digest": "SHA-256 of its job list, if all jobs on it have ended and are known.",
        "oldest_start": "Start of the oldest job.",
        "sized_jobs": "Successful jobs with a size.",
        "sized_bytes": "Sum of these sizes [bytes].",
    },
    "jobs": {
        "id": "Number of the job in this history.",
        "appliance_id": "The appliance.",
        "append_id": "The append that brought the only observation of this job.",
    },
    "observations_apart": {
        "job": "The job.",
        "append_id": "The append that brought the row.",
    },
    "polls": {
        "appliance_id": "The appliance.",
        "append_id": "The append that brought the row.",
    },
    "schedules": {
        "appliance_id": "The appliance.",
        "append_id": "The append that brought the row.",
    },
    "appends": {
        "id": "1, 2, 3, ... without a gap.",
        "run_id": "Random; a repeated attempt finds its own row by it.",
        "kind": "append, import, prune, forget or thin.",
        "appended_at": "When the row was written.",
        "collector": "User and machine that wrote it.",
        "version": "Version of backupkit that wrote it.",
        "earliest_at": "Time of the oldest row that came.",
        "latest_at": "Time of the newest row that came.",
        "observations": "Observations that came, or were removed.",
        "polls": "Polls that came, or were removed.",
        "schedules": "Schedules that came, or were removed.",
        "observations_sha256": "Digest of these observations.",
        "polls_sha256": "Digest of these polls.",
        "schedules_sha256": "Digest of these schedules.",
        "left_sha256": "In the row of a removal: digest of what it left of earlier appends. Empty "
        "in other rows.",
        "previous": "`digest` of the row before; empty in the first.",
        "digest": "SHA-256 of this row, `previous` included.",
        "removal_id": "The removal whose `left_sha256` covers what is left of this append.",
        "observations_left": "Digest of the observations of this append that are left.",
        "polls_left": "Digest of the polls of this append that are left.",
        "schedules_left": "Digest of the schedules of this append that are left.",
    },
    "texts": {
        "id": "Number of the text.",
        "sha256": "First 16 bytes of the SHA-256 of the text.",
        "text": "The text; a list is JSON.",
    },
    "messages": {
        "id": "Number of the list.",
        "sha256": "First 16 bytes of the SHA-256 of the text.",
        "text": "The messages as JSON.",
    },
    "observations": {
        "job": "The job, `id` in `jobs`.",
        "append_id": "The append that brought the row.",
    },
    "v_jobs": {"duration_s": "end_time - start_time [s]."},
    "v_last_success": {
        "start_time": "The greatest start of its successes.",
        "end_time": "The greatest end of its successes.",
    },
}
"""The columns of SQL that are in no contract, or mean something else than there."""

NULLS: Final[Mapping[str, Mapping[str, str]]] = {
    "appliances": {
        "oldest_start": "no job with a start",
        "sized_bytes": "the sum is larger than any disk",
    },
    "jobs": {
        "outcome": "only the absence of the job is known",
        "first_seen_at": "only the absence of the job is known; reports leave it out",
        "last_seen_at": "only the absence of the job is known",
        "vanished_at": "the appliance still lists it",
        "end_time": "the job has not ended, or no end is known",
        "append_id": "its observations are in `observations_apart`",
    },
    "polls": {
        "ok": "neither good nor failed: stopped, or it only followed running jobs",
        "error": "no problem",
        "detail": "no problem",
    },
    "schedules": {
        "days": "every day",
        "max_count": "keeps all backups",
    },
    "appends": {
        "earliest_at": "a removal",
        "latest_at": "a removal",
        "removal_id": "nothing of it was removed",
        "observations_left": "nothing of it was removed",
        "polls_left": "nothing of it was removed",
        "schedules_left": "nothing of it was removed",
    },
}
"""What NULL means where it is more than "not known"."""

TIMES: Final = frozenset({"created_at", "appended_at", "earliest_at", "latest_at", "oldest_start"})
"""The times among the columns that are in no contract."""

INTRODUCTION: Final = """\
# Data model

<!-- Written by docs/generate.py from the contracts. Change the contracts, then run the script. -->

This page lists every frame that backupkit returns, and every table and view of a history.
[architecture.md](architecture.md) shows how the data flows. [glossary.md](glossary.md) defines the
words. [sla.md](sla.md) defines the figures.

* [Types](#types)
* [Frames of collected data](#frames-of-collected-data)
* [Frames of an assessment](#frames-of-an-assessment)
* [Figures of the fleet](#figures-of-the-fleet)
* [Tables of a history](#tables-of-a-history)
* [Views of a history](#views-of-a-history)

## Types

All times are UTC with microseconds. A missing value is `NA` or `NaT` in pandas, null in JSON and
Parquet, and NULL in SQL. It is never 0 and never an empty text.
"""

AFTER_TYPES: Final = """
The unit [s] of a duration is its unit in JSON and CSV. In pandas a duration carries its own unit.

A message is an object with `id`, `default_message`, `args` (a list of texts) and `localized`. The
`.jobs.csv` file of a report holds all messages of a job in one text.

`backupkit history export --format csv` writes durations in seconds, without the `_seconds` in the
name, and lists as JSON.

In Python, `backupkit.tables.JOBS` and its siblings are the contracts: `JOBS.names` lists the
columns, `JOBS.check(frame)` checks a frame, and `JOBS.empty()` returns a frame without rows.
"""

FIGURES: Final = """\
## Figures of the fleet

These are the values of `metric` in METRICS and GROUPS. `numerator` and `denominator` are in this
unit. [sla.md](sla.md) has the formulas.

A name with `strict` keeps unknown time, slots or appliances in the denominator. A name with
`observed` leaves them out. `micro` is the sum of all numerators divided by the sum of all
denominators. `macro` is the mean of the ratios of the appliances.
"""

TABLES: Final = """\
## Tables of a history

SQLite and PostgreSQL have the same tables. In PostgreSQL they are in the schema `backupkit`. The
types below are those of PostgreSQL. SQLite has `INTEGER` for `BIGINT`, `REAL` for
`DOUBLE PRECISION`, and `BLOB` for `BYTEA`.

Times are microseconds since 1970-01-01 UTC. Durations are microseconds. Flags are 0 or 1. A text
that repeats is stored once, and columns hold its `id` in `texts` or `messages`. These columns have
no foreign key: with one, the removal of a text would read all rows that could use it.

Only read these tables. `backupkit history verify` reports what another program changed.
"""

VIEWS: Final = """\
## Views of a history

The views whose names begin with `v_` are for people: they hold names and texts instead of numbers,
and times as ISO 8601 text in UTC.
"""

CAUSES_INTRODUCTION: Final = """\
# Causes of failures

<!-- Written by docs/generate.py from backupkit/causes/known.toml and docs/failure-texts.toml. -->

backupkit reads the messages of a failed job and looks for a known cause. This page lists the
causes, shows how to add your own, and shows what backupkit makes of published failures.
[sla.md](sla.md#25-error-patterns) defines the error patterns.

* [Known causes](#known-causes)
* [Your own causes](#your-own-causes)
* [Published failures](#published-failures)

## Known causes

The first cause that fits a message counts, so the list begins with the most specific ones. Most
messages of an appliance are not documented. They come from the tools that it uses, so a source is
often the page of such a tool. The messages are matched in English.
"""

OWN_CAUSES: Final = """\
## Your own causes

Write a table `[[cause]]` for each cause into fleet.toml, or into a file that fleet.toml names.
The key `causes` stands at the top of fleet.toml, before any table. The path is relative to its
folder.

```toml
# fleet.toml
causes = "causes.toml"
```

```toml
# causes.toml
[[cause]]
name = "storage-gateway"
texts = ["gateway closed the session"]
patterns = ['gateway error 7\\d{2}']
cause = "The storage gateway was restarted."
next_step = "Ask the storage team, extension 4711."
source = "our wiki, Backup"
```

| Key | Meaning |
| --- | --- |
| `name` | Short name. With the name of a known cause, your advice replaces that one's. |
| `texts` | Texts in the message, as whole words. Upper and lower case do not matter. |
| `patterns` | Regular expressions. Write them in single quotes. |
| `ids` | Ids of the message. |
| `cause`, `next_step` | What the report shows. |
| `source` | Optional; without it, the name of the file. |
| `tells` | Optional: what the message says: `"cause"`, `"place"` (where) or `"nothing"`. |

One of `texts`, `patterns` and `ids` must be there. Your causes are preferred to the known ones,
whichever message of a job they fit. An error names the file, the table and the key.

Messages come from outside, so a search must be quick whatever they say. A regular expression with
a repetition inside a repetition can take years. backupkit refuses such patterns when it reads the
file, so it needs no time limit:

* Only the first 4,000 characters of a message are searched.
* Each repetition has an upper limit: `.{0,60}` instead of `.*`.
* What repeats has no repetition and no alternative inside.
* The product of all limits and alternatives is at most 1,000, and a pattern has at most 500
  characters. A file has at most 500 causes.
* Groups are written `(...)` or `(?:...)`; a pattern does not refer to an earlier group.
"""

PUBLISHED: Final = """\
## Published failures

These texts were published by people whose backup failed. A test checks the table. "Really" is what
the source found in the end. No complete response of a real appliance was found in public, so the
messages of one job are those that the source lists together.
"""

PUBLISHED_LATER: Final = """\
These ten were looked up after the catalogue was written. "At first" is what it said then: it named
{hits} of {total}. After that, entries were added for texts that tell a cause. So the next unknown
texts will fare like the first column, and not like the second.
"""

_POSTGRESQL: Final = {"REAL": "DOUBLE PRECISION", "BLOB": "BYTEA"}
_BIG: Final = "BIGINT"  # SQLite takes any word for a type, and gives it back
_SQL_TYPES: Final = {
    "big": _BIG,
    "real": "REAL",
    "blob": "BLOB",
    "without_rowid": "WITHOUT ROWID",
}
_UNITS: Final = frozenset({"bytes", "%"})  # those that the type of a column does not tell


def page() -> str:
    """Return the whole page as Markdown."""
    return "\n".join([*_introduction(), *_frames(), *_figures(), *_history()])


def causes() -> str:
    """Return the page of the causes of failures."""
    known = known_causes().causes
    rows = [
        (f"`{cause.name}`", cause.cause, cause.next_step, _fitting(cause), cause.source)
        for cause in known
    ]
    texts = tomllib.loads(REAL_TEXTS.read_text(encoding="utf-8"))["text"]
    judged = [(text, *_judge(text["messages"])) for text in texts]
    first = [item for item in judged if item[0]["kind"] != "later"]
    later = [item for item in judged if item[0]["kind"] == "later"]
    hits = sum(1 for text, *_ in later if text["first"])
    return "\n".join(
        [
            CAUSES_INTRODUCTION,
            f"There are {len(known)} causes.\n",
            *_table(("Name", "Cause", "Next step", "Fits, for example", "Source"), rows),
            "",
            OWN_CAUSES,
            PUBLISHED,
            *_table(
                ("Messages", "Error pattern", "Cause", "Really", "Source"),
                [
                    (
                        _quote(text["messages"]),
                        f"`{signature}`",
                        name,
                        text["truth"],
                        text["source"],
                    )
                    for text, signature, name in first
                ],
            ),
            "",
            PUBLISHED_LATER.format(hits=hits, total=len(later)),
            *_table(
                ("Messages", "At first", "Now", "Really", "Source"),
                [
                    (
                        _quote(text["messages"]),
                        f"`{text['first']}`" if text["first"] else "not known",
                        name,
                        text["truth"],
                        text["source"],
                    )
                    for text, _, name in later
                ],
            ),
            "",
        ]
    )


def _fitting(cause: Cause) -> str:
    """Return a text, a pattern or an id of a cause."""
    return f"`{next(iter((*cause.texts, *cause.patterns, *cause.ids)))}`"


def _quote(messages: Iterable[str]) -> str:
    return "; ".join(f"`{message}`" for message in messages)


def _judge(messages: Iterable[str]) -> tuple[str, str]:
    """Return signature and cause of a job with these messages."""
    given = [
        {"id": "", "default_message": message, "args": [], "localized": None}
        for message in messages
    ]
    jobs = JOBS.frame({"appliance": ["a"], "outcome": ["failure"], "messages": [given]})
    signature, name = failure_signatures(jobs)[["signature", "cause_name"]].iloc[0]
    return str(signature), f"`{name}`" if isinstance(name, str) else "not known"


def sla() -> str:
    """Return docs/sla.md with the table of the parameters as they are declared."""
    text = SLA.read_text(encoding="utf-8")
    titles = {_anchor(title): title for title in re.findall(r"^#+ (.+)$", text, re.MULTILINE)}
    sections = {parameter.section for parameter in PARAMETERS.values()}
    _same("sections of docs/sla.md", sections, sections & titles.keys())
    rows = [
        (
            f"`{name}`",
            parameter.absent if parameter.default is None else f"`{json.dumps(parameter.default)}`",
            f"{parameter.kind.must_be}",
            parameter.meaning,
            f"[{titles[parameter.section]}](#{parameter.section})",
        )
        for name, parameter in PARAMETERS.items()
    ]
    head = ("Parameter", "Default", "Must be", "Meaning", "Used in")
    before, start, rest = text.partition("<!-- parameters: written by docs/generate.py -->\n")
    _, end, after = rest.partition("<!-- end of parameters -->\n")
    return "\n".join([f"{before}{start}", *_table(head, rows), f"\n{end}{after}"])


def _anchor(title: str) -> str:
    return re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")


def _introduction() -> Iterator[str]:
    yield from INTRODUCTION.split("\n")
    yield from _table(
        ("pandas dtype", "Parquet export", "JSON and CSV of a report", "SQL"),
        DTYPES.values(),
    )
    yield from AFTER_TYPES.split("\n")


def _frames() -> Iterator[str]:
    contracts = {name: value for name, value in vars(tables).items() if isinstance(value, Table)}
    _same("frames", contracts, [*KEPT, *JUDGED])
    for title, frames in (
        ("Frames of collected data", KEPT),
        ("Frames of an assessment", JUDGED),
    ):
        yield from (f"## {title}", "")
        for name, words in frames.items():
            yield from _frame(name, contracts[name], words)


def _frame(name: str, contract: Table, words: Frame) -> Iterator[str]:
    index = f" Index: `{contract.index}`." if contract.index else ""
    key = f" Key: {words.key}." if words.key else ""
    yield from (f"### {name}", "", f"A row is {words.row}.", "")
    yield from (f"From: {words.source}.{key}{index}", "")
    yield from _table(
        ("column", "dtype", "unit", "meaning"),
        (
            (f"`{column.name}`", DTYPES[column.kind][0], column.unit, column.meaning)
            for column in contract
        ),
    )
    yield ""


def _figures() -> Iterator[str]:
    frames = JOBS.empty(), POLLS.empty(), SCHEDULES.empty()
    start, end = "2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"
    fleet = evaluate_frames(*frames, Policy(), start=start, end=end, now=end).fleet
    yield from FIGURES.split("\n")
    yield from _table(
        ("metric", "unit"), ((f"`{name}`", str(unit)) for name, unit in fleet["unit"].items())
    )
    yield ""


def _history() -> Iterator[str]:
    with closing(sqlite3.connect(":memory:")) as database:
        for statement in build_statements(_SQL_TYPES, "CAST({} AS TEXT)"):
            database.execute(statement)
        names = {
            kind: [
                str(name)
                for (name,) in database.execute(
                    "SELECT name FROM sqlite_master WHERE type = ? ORDER BY rowid", [kind]
                )
            ]
            for kind in ("table", "view")
        }
        _same("tables", names["table"] + names["view"], ROWS)
        yield from TABLES.split("\n")
        for name in names["table"]:
            yield from _sql_table(database, name)
        yield from VIEWS.split("\n")
        for name in names["view"]:
            yield from _sql_view(database, name)


def _sql_table(database: sqlite3.Connection, name: str) -> Iterator[str]:
    info = database.execute(f"PRAGMA table_info({name})").fetchall()
    own = MEANINGS.get(name, {})
    contract = {_stored_name(column): column for column in COLUMNS.get(name, ())}
    if name == "observations_apart":
        contract = {column.name: column for column in COLUMNS["observations"]}
    foreign = {
        row[3]: f"`id` in `{row[2]}`"
        for row in database.execute(f"PRAGMA foreign_key_list({name})")
    }
    columns = [row[1] for row in info]
    _same(f"{name}: columns", columns, {*own, *contract})
    _same(f"{name}: NULL", {*columns, *NULLS.get(name, {})}, columns)
    yield from (f"### Table `{name}`", "", ROWS[name], "")
    yield from (f"* {text}" for text in _keys(database, name))
    yield ""
    rows = []
    for _, column, kind, is_required, _, key in info:
        described = contract.get(column)
        nullable = "" if is_required or key else NULLS.get(name, {}).get(column, "not known")
        meaning = own[column] if column in own else _meaning(described)
        holds = foreign.get(column) or _holds(column, described)
        rows.append((f"`{column}`", _POSTGRESQL.get(kind, kind), holds, nullable, meaning))
    yield from _table(("column", "type", "holds", "NULL means", "meaning"), rows)
    yield ""


def _stored_name(column: Column) -> str:
    return "appliance_id" if sql_kind(column) == "appliance" else column.name


def _meaning(column: Column | None) -> str:
    if column is None:
        return ""
    return f"{column.meaning[:-1]} [{column.unit}]." if column.unit in _UNITS else column.meaning


def _holds(name: str, column: Column | None) -> str:
    if column is None:
        return "time" if name in TIMES else ""
    kind = sql_kind(column)
    if kind in TEXT_TABLES:
        return f"`id` in `{TEXT_TABLES[kind]}`" + (", a JSON list" if kind == "list" else "")
    return {TIME: "time", SPAN: "duration", FLAG: "flag"}.get(column.kind, "")


def _keys(database: sqlite3.Connection, name: str) -> Iterator[str]:
    info = database.execute(f"PRAGMA table_info({name})").fetchall()
    primary = [row[1] for row in sorted(info, key=lambda row: row[5]) if row[5]]
    if primary:
        yield f"Primary key: {_listed(primary)}."
    for _, index, is_unique, origin, _ in database.execute(f"PRAGMA index_list({name})").fetchall():
        columns = [row[2] for row in database.execute(f"PRAGMA index_info({index})")]
        if is_unique and origin == "u":
            yield f"Unique: {_listed(columns)}."
    made = database.execute(
        "SELECT name, sql FROM sqlite_master WHERE type = 'index' AND tbl_name = ? "
        "AND sql IS NOT NULL ORDER BY rowid",
        [name],
    )
    for index, sql in made:
        yield f"Index `{index}`: `{re.sub(r'^CREATE INDEX .* ON .*? (?=[(])', '', sql)}`."
    if not primary:
        yield "No key."


def _sql_view(database: sqlite3.Connection, name: str) -> Iterator[str]:
    own = MEANINGS.get(name, {})
    contract = {column.name: column for table in (OBSERVATIONS, JOBS) for column in table}
    names = [row[1] for row in database.execute(f"PRAGMA table_info({name})")]
    _same(f"{name}: columns", {*names, *own}, names)
    yield from (f"### View `{name}`", "", ROWS[name], "")
    if name == "v_failures":  # it has the columns of v_jobs
        return
    holds = _holds if name == "observations" else _shows
    yield from _table(
        ("column", "holds", "meaning"),
        (
            (f"`{one}`", holds(one, contract.get(one)), own.get(one) or _meaning(contract[one]))
            for one in names
        ),
    )
    yield ""


def _shows(_name: str, column: Column | None) -> str:
    kinds: dict[object, str] = {TIME: "ISO 8601 text", MESSAGE_LIST: "JSON list of objects"}
    return "" if column is None else kinds.get(column.kind, "")


def _listed(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> Iterator[str]:
    head = list(head)
    yield f"| {' | '.join(head)} |"
    yield f"|{' --- |' * len(head)}"
    for row in rows:
        cells = [cell.replace("|", "\\|").replace("*", "\\*") for cell in row]
        yield f"|{'|'.join(f' {cell} ' if cell else ' ' for cell in cells)}|"


def _same(what: str, there: Collection[str], described: Collection[str]) -> None:
    """Stop if something has no text here, or a text has nothing it describes."""
    if missing := sorted(set(there) - set(described)):
        sys.exit(f"docs/generate.py describes no {what} {missing}. Add a sentence for each.")
    if unused := sorted(set(described) - set(there)):
        sys.exit(f"docs/generate.py describes {what} {unused}, which are gone. Remove them.")


def main() -> None:
    """Write the pages, or check them."""
    parser = argparse.ArgumentParser(description="Write the generated parts of the documentation.")
    parser.add_argument("--check", action="store_true", help="exit with 1 if a page differs")
    check = parser.parse_args().check
    for path, wanted in ((PAGE, page()), (SLA, sla()), (CAUSES, causes())):
        if not check:
            path.write_text(wanted, encoding="utf-8")
        elif not path.exists() or path.read_text(encoding="utf-8") != wanted:
            sys.exit(f"docs/{path.name} is not up to date. Run: python docs/generate.py")


if __name__ == "__main__":
    main()
