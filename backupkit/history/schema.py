"""The tables of a history in SQL: one schema for both databases.

Times are microseconds since 1970 in UTC, durations microseconds, flags 0 or 1, what is missing is
NULL. A text that repeats is kept once, in `texts`, and messages once, in `messages`, both by a
number; lists are JSON. The views show the same for people.

The row of a job that was observed once, as most are, is its observation as well: it names the
append that brought it. `observations_apart` holds all other observations; `observations` shows all.
"""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Final

from backupkit.tables import JOBS, OBSERVATIONS, OUTCOMES, POLLS, SCHEDULES, Column, Table
from backupkit.tables.constants import EARLIEST_TIME, LARGEST_LEAD
from backupkit.tables.kinds import COUNT, FLAG, MESSAGE_LIST, NUMBER, SPAN, TEXT_LIST, TIME

__all__ = [
    "COLUMNS",
    "JOB_SECOND",
    "JOB_TIME",
    "LIST_READ",
    "OUTCOME_IDS",
    "PLAUSIBLE_START",
    "SCHEMA_VERSION",
    "TEXT_TABLES",
    "VIEWS",
    "build_statements",
    "sql_kind",
]

SCHEMA_VERSION: Final = 3

OUTCOME_IDS: Final = {outcome: number for number, outcome in enumerate(OUTCOMES, start=1)}
"""The numbers of the first texts, so that SQL can name an outcome by a constant."""

_EARLIEST: Final = (EARLIEST_TIME - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
_LEAD: Final = LARGEST_LEAD // timedelta(microseconds=1)

_END: Final = f"COALESCE(CASE WHEN end_time >= {_EARLIEST} THEN end_time END, last_seen_at)"
JOB_TIME: Final = f"CASE WHEN start_time > {_END} THEN start_time ELSE {_END} END"
"""When a job is over [us since 1970]: the order in which an evaluation needs jobs.

Of times that are not plausible, it is not before the time that an evaluation uses instead.
"""

PLAUSIBLE_START: Final = f"{{0}}start_time >= {_EARLIEST}"
"""Whether a start is late enough to say since when an appliance is known; of the alias {0}."""

JOB_SECOND: Final = f"({JOB_TIME}) / 1000000"
"""The second in which it is over; indexed, as a small number."""

LIST_READ: Final = "COALESCE({0}ok, CASE WHEN {0}jobs_unread > 0 THEN 1 END)"
"""Whether a poll read the job list, as `backupkit.tables.list_was_read`; of the table alias {0}."""

TEXT_TABLES: Final = {"text": "texts", "list": "texts", "messages": "messages"}
"""Which kinds of column are a number of a row in another table."""


def sql_kind(column: Column) -> str:
    """Return how a column of a frame is stored.

    Returns
    -------
    str
        appliance, plain (the text itself), text or list or messages (a number of a text), integer
        or real.
    """
    if column.name in {"appliance", "job_id"}:
        return "appliance" if column.name == "appliance" else "plain"
    if column.kind == NUMBER:
        return "real"
    if column.kind in {TIME, SPAN, COUNT, FLAG}:
        return "integer"
    if column.kind == MESSAGE_LIST:
        return "messages"
    return "list" if column.kind == TEXT_LIST else "text"


def _select_columns(table: Table, *leave_out: str) -> tuple[Column, ...]:
    return tuple(column for column in table if column.name not in leave_out)


COLUMNS: Final[Mapping[str, tuple[Column, ...]]] = {
    "jobs": _select_columns(JOBS, "duration"),  # end_time - start_time
    "observations": _select_columns(OBSERVATIONS, "appliance", "job_id"),  # those of its job
    "polls": _select_columns(POLLS),
    "schedules": _select_columns(SCHEDULES),
}
"""Which columns of the frames each table holds."""

_NAMES: Final = {"appliance": "appliance_id"}
_TYPES: Final = {"plain": "TEXT NOT NULL", "real": "{real}"}


def _format_column_definitions(table: str) -> str:
    lines = []
    for column in COLUMNS[table]:
        kind = sql_kind(column)
        if kind == "appliance":
            lines.append("appliance_id INTEGER NOT NULL REFERENCES appliances (id)")
        elif kind in TEXT_TABLES:
            # no foreign key: to look for one that is used would be to read all rows
            lines.append(f"{column.name} INTEGER")
        elif kind == "integer":
            size = "SMALLINT" if column.kind == FLAG else "{big}"
            lines.append(f"{column.name} {size}")
        else:
            lines.append(f"{column.name} {_TYPES[kind]}")
    return ",\n  ".join(lines)


_APPEND: Final = "append_id INTEGER NOT NULL REFERENCES appends (id)"

_TABLES: Final = f"""
CREATE TABLE history (
  schema_version INTEGER NOT NULL,
  identity TEXT NOT NULL,
  created_at {{big}} NOT NULL,
  head TEXT NOT NULL,
  thinned_to INTEGER NOT NULL
);
CREATE TABLE texts (
  id INTEGER PRIMARY KEY,
  sha256 {{blob}} NOT NULL UNIQUE,
  text TEXT NOT NULL
);
CREATE TABLE messages (
  id INTEGER PRIMARY KEY,
  sha256 {{blob}} NOT NULL UNIQUE,
  text TEXT NOT NULL
);
CREATE TABLE appliances (
  id INTEGER PRIMARY KEY,
  name TEXT NOT NULL UNIQUE,
  polls {{big}} NOT NULL DEFAULT 0,
  polls_ok {{big}} NOT NULL DEFAULT 0,
  jobs {{big}} NOT NULL DEFAULT 0,
  jobs_listed {{big}} NOT NULL DEFAULT 0,
  list_digest TEXT,
  oldest_start {{big}},
  sized_jobs {{big}} NOT NULL DEFAULT 0,
  sized_bytes {{big}} DEFAULT 0
);
CREATE TABLE appends (
  id INTEGER PRIMARY KEY,
  run_id TEXT NOT NULL UNIQUE,
  kind TEXT NOT NULL,
  appended_at {{big}} NOT NULL,
  collector TEXT NOT NULL,
  version TEXT NOT NULL,
  earliest_at {{big}},
  latest_at {{big}},
  observations INTEGER NOT NULL,
  polls INTEGER NOT NULL,
  schedules INTEGER NOT NULL,
  observations_sha256 TEXT NOT NULL,
  polls_sha256 TEXT NOT NULL,
  schedules_sha256 TEXT NOT NULL,
  left_sha256 TEXT NOT NULL,
  previous TEXT NOT NULL,
  digest TEXT NOT NULL UNIQUE,
  removal_id INTEGER,
  observations_left TEXT,
  polls_left TEXT,
  schedules_left TEXT
);
CREATE TABLE jobs (
  id INTEGER PRIMARY KEY,
  {_format_column_definitions("jobs")},
  append_id INTEGER REFERENCES appends (id),
  UNIQUE (job_id, appliance_id)
);
CREATE INDEX jobs_by_time ON jobs (appliance_id, ({JOB_SECOND}));
CREATE INDEX jobs_open ON jobs (appliance_id) WHERE outcome = {OUTCOME_IDS["open"]};
CREATE TABLE observations_apart (
  job INTEGER NOT NULL REFERENCES jobs (id),
  {_format_column_definitions("observations")},
  {_APPEND},
  PRIMARY KEY (job, observed_at)
) {{without_rowid}};
CREATE TABLE polls (
  {_format_column_definitions("polls")},
  {_APPEND},
  PRIMARY KEY (appliance_id, polled_at)
) {{without_rowid}};
CREATE TABLE schedules (
  {_format_column_definitions("schedules")},
  {_APPEND},
  PRIMARY KEY (appliance_id, schedule, seen_at)
) {{without_rowid}};
"""

_IS_PLAUSIBLE: Final = f"{{0}} BETWEEN {_EARLIEST} AND {{1}}last_seen_at + {_LEAD}"
_OBSERVED: Final = [column.name for column in COLUMNS["observations"]]

VIEWS: Final = f"""
CREATE VIEW observations AS
SELECT job, {", ".join(_OBSERVED)}, append_id FROM observations_apart
UNION ALL
SELECT id, {", ".join(_OBSERVED).replace("observed_at", "last_seen_at")}, append_id
FROM jobs WHERE append_id IS NOT NULL;
CREATE VIEW v_jobs AS
SELECT a.name AS appliance, j.job_id, outcome.text AS outcome, state.text AS state,
  status.text AS status, type.text AS type,
  {{iso:j.start_time}} AS start_time, {{iso:j.end_time}} AS end_time,
  CASE WHEN j.end_time >= j.start_time AND {_IS_PLAUSIBLE.format("j.start_time", "j.")}
    AND {_IS_PLAUSIBLE.format("j.end_time", "j.")}
    THEN CAST(j.end_time - j.start_time AS {{real}}) / 1000000 END AS duration_s,
  j.progress, j.size, location.text AS location, build.text AS build, m.text AS messages,
  {{iso:j.first_seen_at}} AS first_seen_at, {{iso:j.last_seen_at}} AS last_seen_at,
  {{iso:j.vanished_at}} AS vanished_at
FROM jobs j
JOIN appliances a ON a.id = j.appliance_id
LEFT JOIN texts outcome ON outcome.id = j.outcome
LEFT JOIN texts state ON state.id = j.state
LEFT JOIN texts status ON status.id = j.status
LEFT JOIN texts type ON type.id = j.type
LEFT JOIN texts location ON location.id = j.location
LEFT JOIN texts build ON build.id = j.build
LEFT JOIN messages m ON m.id = j.messages
WHERE j.first_seen_at IS NOT NULL;
CREATE VIEW v_last_success AS
SELECT a.name AS appliance, {{iso:s.start_time}} AS start_time, {{iso:s.end_time}} AS end_time
FROM appliances a
LEFT JOIN jobs s ON s.id = (
  SELECT n.id FROM jobs n
  WHERE n.appliance_id = a.id AND n.outcome = {OUTCOME_IDS["success"]}
    AND {_IS_PLAUSIBLE.format("n.start_time", "n.")}
  ORDER BY n.start_time DESC, n.id DESC LIMIT 1
);
CREATE VIEW v_failures AS
SELECT * FROM v_jobs WHERE outcome = 'failure';
"""


def build_statements(types: Mapping[str, str], iso: str) -> list[str]:
    """Return the statements that make an empty history.

    Parameters
    ----------
    types : mapping of str to str
        What the database calls big, real, blob and without_rowid.
    iso : str
        Its expression for microseconds as ISO 8601 text, with ``{}`` for the column.

    Returns
    -------
    list of str
        In order.
    """
    script = _TABLES.format_map(types)
    head, *rest = VIEWS.replace("{real}", types["real"]).split("{iso:")
    script += head + "".join(
        iso.replace("{}", column) + tail for column, tail in (part.split("}", 1) for part in rest)
    )
    return [statement.strip() for statement in script.split(";") if statement.strip()]
