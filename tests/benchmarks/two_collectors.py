"""Two collectors and a reader on one history: nothing is lost, doubled or wrong.

    python -m tests.benchmarks.two_collectors --minutes 10 --engine sqlite

Two processes collect from a simulated fleet over HTTPS and log what the history acknowledged. A
third runs `report` repeatedly. Meanwhile jobs start, end, fail and change, and an appliance stops
and starts. At the end all logged rows are compared with the history, and each report with the data
known at its time. Exit code 1 if anything is wrong. ``--engine postgresql`` starts a server for it.
"""

import argparse
import contextlib
import json
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import IO, Any, Final

import pandas as pd
import pyarrow as pa

import backupkit as bk
from backupkit.simulator import Scenario, SimulatedFleet
from backupkit.simulator.appliance import BusyError
from backupkit.tables import OBSERVATIONS, POLLS, SCHEDULES, jobs_from
from tests.conftest import QUICK
from tests.postgres import PostgresServer

ROOT: Final = Path(__file__).parents[2]
COLLECTORS: Final = ("collector-1", "collector-2")
READER: Final = "reader"
ROLES: Final = (*COLLECTORS, READER)
APPLIANCES: Final = 4
JOBS: Final = 20
TICK: Final = 0.2
"""How often the fleet changes [s]."""

ALL_AGAIN: Final = 20
"""After this number of collections a collector reads all jobs again."""

PATIENCE: Final = 60
"""How long a process may take to end [s]."""

TABLES: Final = {"polls": POLLS, "observations": OBSERVATIONS, "schedules": SCHEDULES}
KEYS: Final = {
    "polls": ["appliance", "polled_at"],
    "observations": ["appliance", "job_id", "observed_at"],
    "schedules": ["appliance", "schedule", "seen_at"],
}
_CONTENT: Final = {
    "observations": ["appliance", "job_id", "status", "progress", "start_time", "end_time"],
    "schedules": ["appliance", "schedule", "enabled", "hour", "minute"],
}
_JOB: Final = ["appliance", "job_id", "status", "last_seen_at"]
DAYS: Final = 2
"""The period of the reports [d]."""


@dataclass(frozen=True)
class Entry:
    """One collection of a collector, or one report of the reader.

    The rows of a collection are in the Arrow files of the log, in order.
    """

    begun: float
    ended: float
    rows: dict[str, int] = field(default_factory=dict)
    added: dict[str, int] = field(default_factory=dict)
    spent: float = 0.0  # on the append alone


class Log:
    """The log of a process: a line for each collection, and its rows."""

    def __init__(self, folder: Path, name: str) -> None:
        self._folder, self._name = folder, name

    @contextlib.contextmanager
    def written(self) -> Iterator["Log"]:
        """Open the log for writing."""
        with contextlib.ExitStack() as stack:
            self._lines: IO[str] = stack.enter_context(
                (self._folder / f"{self._name}.jsonl").open("w", encoding="utf-8", buffering=1)
            )
            self._rows = {
                name: stack.enter_context(
                    pa.ipc.new_stream(str(self._place(name)), table.arrow_schema)
                )
                for name, table in TABLES.items()
            }
            yield self

    def add(self, one: Entry, **rows: pd.DataFrame) -> None:
        """Write one entry."""
        for name, frame in rows.items():
            self._rows[name].write_table(TABLES[name].to_arrow(frame))
        self._lines.write(json.dumps(asdict(one)) + "\n")

    def entries(self) -> list[Entry]:
        """Return the entries."""
        lines = (self._folder / f"{self._name}.jsonl").read_text(encoding="utf-8").splitlines()
        return [Entry(**json.loads(line)) for line in lines]

    def rows(self, name: str) -> pd.DataFrame:
        """Return the rows of a table, in order of collection."""
        with pa.ipc.open_stream(str(self._place(name))) as stream:
            return TABLES[name].from_arrow(stream.read_all())

    def _place(self, name: str) -> Path:
        return self._folder / f"{self._name}.{name}.arrow"


def collect(folder: Path, name: str, target: str, until: float) -> None:
    """Collect until a time, and log what was acknowledged."""
    fleet, history = bk.Fleet.load(folder / "fleet.toml"), bk.History(target)
    with Log(folder, name).written() as log:
        for number in count(1):
            begun = time.time()
            if begun > until:
                return
            memory = None if number % ALL_AGAIN == 0 else history
            snapshot = bk.collect(fleet, known=memory, limits=QUICK, progress=False)
            brought = time.time()
            added = history.append(snapshot)
            ended = time.time()
            rows = {table: getattr(snapshot, table) for table in TABLES}
            counts = {table: len(frame) for table, frame in rows.items()}
            kept = {table: getattr(added, table) for table in TABLES}
            log.add(Entry(begun, ended, counts, kept, ended - brought), **rows)


def read(folder: Path, name: str, target: str, until: float) -> None:
    """Make reports until a time, and keep the JSON of each."""
    where = ["--history", target, "--fleet", str(folder / "fleet.toml")]
    out = folder / "reports"
    command = [*where, "--last", f"{DAYS}d", "--compare-with", "none"]
    with Log(folder, name).written() as log:
        for number in count():
            begun = time.time()
            if begun > until:
                return
            page = out / f"{number:06}.html"
            code = main(["report", *command, "--out", str(page)])
            if code:
                raise SystemExit(code)
            log.add(Entry(begun, time.time()))
            for path in (page, page.with_suffix(".csv"), page.with_suffix(".jobs.csv")):
                path.unlink()


class Changes:
    """Random changes of the simulated fleet."""

    def __init__(self, fleet: SimulatedFleet) -> None:
        self._fleet = fleet
        self._dice = random.Random(7)  # noqa: S311 # no secret
        self._down: dict[str, float] = {}

    def change_one(self) -> None:
        """Change a random appliance."""
        dice, now = self._dice, datetime.now(UTC)
        for name in [name for name, until in self._down.items() if time.time() > until]:
            self._fleet.start(name)
            del self._down[name]
        one, chance = dice.choice(self._fleet.appliances), dice.random()
        jobs = one.jobs()
        running = [job for job in jobs if job.end > now]
        if not running:
            with contextlib.suppress(BusyError):  # a scheduled job runs
                begun = one.create("two collectors")
                end = now + timedelta(seconds=dice.uniform(1, 8))
                self._fleet.rewrite(one.name, begun.id, end=end)
        elif chance < 0.03 and not self._down:  # a share
            self._fleet.stop(one.name)
            self._down[one.name] = time.time() + dice.uniform(0.5, 3)
        elif chance < 0.1:  # a share
            one.cancel(running[0].id)
        elif chance < 0.2:  # a share
            job = dice.choice(jobs[:-1])
            end = job.end + timedelta(seconds=dice.randrange(1, 60))
            self._fleet.rewrite(one.name, job.id, end=min(end, now))


@contextlib.contextmanager
def place(engine: str, folder: Path) -> Iterator[str]:
    """Return the path or URL of a new history."""
    if engine == "sqlite":
        yield str(folder / "history.db")
        return
    with PostgresServer(durable=True) as server, server.fresh_database() as url:
        yield url


def run(minutes: float, engine: str) -> int:
    """Run all three processes for some minutes, and check their results."""
    scenario = Scenario.steady(appliances=APPLIANCES, jobs=JOBS, seed=1, epoch=datetime.now(UTC))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "reports").mkdir()
        with place(engine, folder) as target, SimulatedFleet(scenario) as fleet:
            fleet.write_fleet(folder / "fleet.toml")
            first = bk.History(target)
            first.append(bk.collect(bk.Fleet.load(folder / "fleet.toml"), progress=False))
            begun = Acknowledged(first)
            until = time.time() + 60 * minutes
            running = {role: started(folder, role, target, until) for role in ROLES}
            changes = Changes(fleet)
            while time.time() < until:
                time.sleep(TICK)
                changes.change_one()
                fleet.clear_requests()  # keep the simulator's log small
            wrong = [words for role in running for words in ended(folder, role, running[role])]
            wrong += begun.compared(folder)
    for words in wrong:
        print(f"WRONG: {words}", flush=True)
    print("All is well." if not wrong else f"{len(wrong)} things are wrong.", flush=True)
    return int(bool(wrong))


def started(folder: Path, role: str, target: str, until: float) -> subprocess.Popen[bytes]:
    """Start one of the three processes."""
    argv = [sys.executable, "-m", "tests.benchmarks.two_collectors"]
    argv += ["--role", role, "--folder", str(folder), "--target", target, "--until", str(until)]
    with (
        (folder / f"{role}.out").open("wb") as out,
        (folder / f"{role}.err").open("wb") as err,
    ):
        return subprocess.Popen(argv, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=out, stderr=err)


def ended(folder: Path, role: str, process: subprocess.Popen[bytes]) -> Iterator[str]:
    """Wait for a process, and yield problems of its end."""
    try:
        code = process.wait(PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        yield f"{role} hung"
        return
    if code:
        yield f"{role} ended with {code}"
    if errors := (folder / f"{role}.err").read_text(encoding="utf-8").strip():
        yield f"{role} wrote to stderr: {errors}"


class Acknowledged:
    """Acknowledged rows, compared with the history.

    Parameters
    ----------
    history : History
        Before the other processes start.
    """

    def __init__(self, history: bk.History) -> None:
        self._history = history
        self._begun = {name: getattr(history, name)() for name in TABLES}

    def compared(self, folder: Path) -> Iterator[str]:
        """Print a summary, and yield what is wrong."""
        history = self._history
        logs = [Log(folder, name) for name in COLLECTORS]
        entries = [one.entries() for one in logs]
        reports = Log(folder, READER).entries()
        kept = {name: getattr(history, name)() for name in TABLES}
        logged = {
            name: pd.concat(
                [self._begun[name], *(one.rows(name) for one in logs)], ignore_index=True
            )
            for name in TABLES
        }
        print_summary(entries, reports, kept)
        for what, problem in history.verify().itertuples(index=False):
            yield f"{what}: {problem}"
        for name, rows in kept.items():
            added = sum(one.added[name] for some in entries for one in some)
            if len(rows) != len(self._begun[name]) + added:
                yield f"{added:,} {name} were acknowledged, and {len(rows):,} are there"
            yield from differences(name, rows, logged[name])
        past = Past(history, logs, entries)
        right = 0
        for number, one in enumerate(reports):
            file = folder / "reports" / f"{number:06}.json"
            document = json.loads(file.read_bytes())
            fault = past.fault(document, one)
            right += not fault
            if fault:
                yield f"report {number} of {document['generated_at']}: {fault}"
        print(f"{right} of {len(reports)} reports have exactly the known data", flush=True)


def print_summary(
    entries: list[list[Entry]], reports: list[Entry], kept: dict[str, pd.DataFrame]
) -> None:
    """Print numbers and times."""
    made = [one for some in entries for one in some]
    if made:
        seconds = max(one.ended for one in made) - min(one.begun for one in made)
        spent = sum(one.spent for one in made)
        each = " + ".join(f"{len(some):,}" for some in entries)
        print(
            f"{each} collections in {seconds:.0f} s: {len(made) / seconds:.2f} appends/s; an "
            f"append took {1_000 * spent / len(made):.0f} ms",
            flush=True,
        )
    rows = ", ".join(f"{len(frame):,} {name}" for name, frame in kept.items())
    failed = int((~kept["polls"]["ok"].astype("boolean").fillna(value=True)).sum())
    print(f"kept: {rows}; {failed:,} polls failed", flush=True)
    took = sum(one.ended - one.begun for one in reports) / max(len(reports), 1)
    print(f"{len(reports):,} reports, {took:.2f} s each", flush=True)


def differences(name: str, kept: pd.DataFrame, logged: pd.DataFrame) -> Iterator[str]:
    """Yield which rows are doubled, changed or missing."""
    keys = KEYS[name]
    if doubled := int(kept.duplicated(keys).sum()):
        yield f"{doubled:,} {name} are there twice"
    there = set(texts(kept, TABLES[name].names))
    logged_rows = texts(logged, TABLES[name].names)
    if changed := len(there - set(logged_rows)):
        yield f"{changed:,} {name} differ from the log"
    missing = logged[[row not in there for row in logged_rows]]
    if name == "polls":
        if len(missing):
            yield f"{len(missing):,} acknowledged polls are not there"
        return
    # unchanged rows are not stored: the same is known, or something later
    time_of, content = keys[-1], set(texts(kept, _CONTENT[name]))
    later = kept.groupby(keys[:-1])[time_of].max()
    known_until = later.reindex(pd.MultiIndex.from_frame(missing[keys[:-1]])).to_numpy()
    same = pd.Series([row in content for row in texts(missing, _CONTENT[name])], missing.index)
    lost = missing[~same & ~(known_until >= missing[time_of].to_numpy())]
    if len(lost):
        yield f"{len(lost):,} acknowledged {name} are not there, such as {lost.iloc[0].to_dict()}"


def texts(frame: pd.DataFrame, columns: Sequence[str]) -> list[str]:
    """Return each row as one text."""
    plain = frame[list(columns)].astype("str").fillna("-")
    return ["\x1f".join(row) for row in plain.itertuples(index=False, name=None)]


class Past:
    """The data known at each time, by append.

    Parameters
    ----------
    history : History
        At the end.
    logs, entries : list
        Of each collector.
    """

    def __init__(self, history: bk.History, logs: list[Log], entries: list[list[Entry]]) -> None:
        owned = (
            "SELECT a.name AS appliance, p.polled_at AS moment, p.append_id "
            "FROM polls p JOIN appliances a ON a.id = p.appliance_id"
        )
        polls = history.sql(owned)
        keys = zip(polls["appliance"], polls["moment"], strict=True)
        number = dict(zip(keys, polls["append_id"], strict=True))
        self._observations = history.observations()
        learnt = self._observations[["appliance", "observed_at"]].itertuples(index=False)
        # a poll and its rows are in one append
        self._appends = pd.Series([number[name, microseconds(moment)] for name, moment in learnt])
        ledger = history.sql("SELECT id, digest FROM appends")
        self._entries = dict(zip(ledger["digest"], ledger["id"], strict=True))
        self._collections = [
            (one, max(number[name, microseconds(moment)] for name, moment in polled))
            for own, some in zip(logs, entries, strict=True)
            for one, polled in zip(some, split(own.rows("polls"), some), strict=True)
        ]

    def fault(self, document: dict[str, Any], report: Entry) -> str:
        """Return the first wrong value of a report; "" if all is right."""
        named = self._entries.get(document["data_version"])
        if named is None:
            return f"its version {document['data_version']} is not in the ledger"
        known = [number for one, number in self._collections if one.ended < report.begun]
        begun = [n for one, n in self._collections if one.ended - one.spent < report.ended]
        if max(begun, default=1) < named:
            return f"its version is that of append {named}, which came later"
        # appends with a poll after the report's time have no version
        ways = range(max(known, default=1), max(begun, default=1) + 1)
        faults = [self._differs(document, number) for number in ways]
        return "" if "" in faults else faults[0]

    def _differs(self, document: dict[str, Any], until: int) -> str:
        """Compare the report's jobs with the rows of these appends."""
        moment = pd.Timestamp(document["generated_at"])
        rows = self._observations
        there = jobs_from(rows[self._appends.le(until) & rows["observed_at"].le(moment)])
        expected = set(texts(there, _JOB))
        found = pd.DataFrame(document["jobs"])[_JOB]
        found["last_seen_at"] = pd.to_datetime(found["last_seen_at"])
        in_period = ~there["end_time"].lt(moment - pd.Timedelta(days=DAYS))
        needed = set(texts(there[in_period], _JOB))
        reported = set(texts(found, _JOB))
        differing = (reported - expected) | (needed - reported)
        if not differing:
            return ""
        one = min(differing).replace("\x1f", " ")
        return f"{len(differing)} jobs differ from those of {until:,} appends, such as {one}"


def microseconds(moment: pd.Timestamp) -> int:
    """Return a time in microseconds, as in the tables."""
    return int(moment.value // 1_000)


def split(rows: pd.DataFrame, entries: list[Entry]) -> list[list[tuple[str, pd.Timestamp]]]:
    """Return the polls of each collection."""
    ends = pd.Series([one.rows["polls"] for one in entries], dtype="int64").cumsum().to_list()
    keys = list(zip(rows["appliance"], rows["polled_at"], strict=True))
    return [keys[start:end] for start, end in zip([0, *ends], ends, strict=False)]


def main(argv: Sequence[str]) -> int:
    """Run the command line, as a user does."""
    from backupkit.cli import main as command  # noqa: PLC0415 # only the reader needs it

    return command(list(argv))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0, help="how long [min]")
    parser.add_argument("--engine", choices=("sqlite", "postgresql"), default="sqlite")
    for option in ("--role", "--folder", "--target", "--until"):  # for the processes that it starts
        parser.add_argument(option, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.role is None:
        sys.exit(run(chosen.minutes, chosen.engine))
    work = read if chosen.role == READER else collect
    work(Path(chosen.folder), chosen.role, chosen.target, float(chosen.until))
