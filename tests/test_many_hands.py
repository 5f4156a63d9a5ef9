"""Several processes append to one history, one of them is killed again and again, one reads."""

import multiprocessing
import os
import random
from collections.abc import Iterator
from itertools import count
from multiprocessing.process import BaseProcess
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import pandas as pd
import pytest

from backupkit import Policy, evaluate
from backupkit.history import History
from backupkit.history.stored import Stored
from tests.test_history import at, job, snapshot

KILLS = int(os.environ.get("KILLS", "20"))
"""How often; 100 take some minutes."""

SEED = int(os.environ.get("SEED", "1"))
"""Of the moments of death."""

JOBS = 5

# children are forked from a server that has imported all and used nothing: Delta's threads and a
# fork do not go together
PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(["tests.test_many_hands"])


def append_on_and_on(  # pragma: no cover # in processes that are killed
    folder: Path, name: str, first: int, told: Path
) -> None:
    """Append round after round of one appliance, and tell each that was acknowledged."""
    handle = os.open(told, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    for number in count(first):
        rows = [job(name, f"{number}-{place}", "SUCCEEDED") for place in range(JOBS)]
        History(folder).append(snapshot(number, *rows, names=(name,)))
        os.write(handle, f"{name} {number}\n".encode())


def acknowledged(told: Path) -> set[tuple[str, str]]:
    """Read which rounds of whom were acknowledged."""
    lines = told.read_text(encoding="utf-8").splitlines() if told.exists() else []
    return {(name, number) for name, _, number in (line.partition(" ") for line in lines)}


def whole_rounds(folder: Path) -> set[tuple[str, str]]:
    """Read the history, see that every round is there whole and once, and tell which."""
    told = History(folder).observations()
    assert not told.duplicated(["appliance", "job_id"]).any()
    rounds = told["job_id"].str.replace(r"-.*", "", regex=True)
    sizes = told.groupby(["appliance", rounds]).size()
    assert set(sizes) <= {JOBS}
    return {(str(name), str(number)) for name, number in sizes.index}


class Hands:
    """Processes that append until they are killed."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.told = folder / "history", folder / "acknowledged"
        self.running: list[BaseProcess] = []

    def start(self, name: str, first: int) -> BaseProcess:
        """Start one that begins with a round."""
        arguments = (self.folder, name, first, self.told)
        process = PROCESSES.Process(target=append_on_and_on, args=arguments, daemon=True)
        process.start()
        self.running.append(process)
        return process


@pytest.fixture
def hands(tmp_path: Path) -> Iterator[Hands]:
    """Give processes that are gone at the end."""
    History(tmp_path / "history")
    some = Hands(tmp_path)
    yield some
    for process in some.running:
        process.kill()
        process.join()


def test_killed_beside_others(hands: Hands) -> None:
    """Every acknowledged round is whole and there once, whoever died when; the others go on."""
    chance = random.Random(SEED)  # noqa: S311 # nothing secret
    others = [hands.start(name, 0) for name in ("vc-a", "vc-b")]
    for kill in range(KILLS):
        victim = hands.start("vc-victim", 60 * kill)  # each an hour later than the one before
        begun = monotonic()
        before = {one for one in acknowledged(hands.told) if one[0] == "vc-victim"}
        while {one for one in acknowledged(hands.told) if one[0] == "vc-victim"} == before:
            assert monotonic() - begun < 60
            sleep(0.01)
        sleep(chance.random() * 0.4)
        known = acknowledged(hands.told)
        victim.kill()
        victim.join()
        assert known <= whole_rounds(hands.folder)
    assert all(process.is_alive() for process in others)
    names = {name for name, _ in acknowledged(hands.told)}
    assert names == {"vc-a", "vc-b", "vc-victim"}
    for process in others:
        process.kill()
        process.join()
    assert acknowledged(hands.told) <= whole_rounds(hands.folder)
    assert History(hands.folder).verify().empty


@pytest.fixture
def busy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> History:
    """Give a history to which another collector appends a round before each look at a table."""
    history, numbers, rows = History(tmp_path / "busy"), count(), Stored.rows

    def append() -> None:
        number = next(numbers)
        told = [job("vc-a", f"{number}-{place}", "SUCCEEDED") for place in range(JOBS)]
        History(history.path).append(snapshot(number, *told, names=("vc-a",), hour=number % 24))

    def beside(stored: Stored, *choice: Any) -> Any:  # noqa: ANN401 # whatever it takes and gives
        with monkeypatch.context() as alone:
            alone.setattr(Stored, "rows", rows)
            append()
        return rows(stored, *choice)

    append()
    monkeypatch.setattr(Stored, "rows", beside)
    return history


class TestReadBesideOthers:
    """Whoever reads knows of each visit all that it brought, or nothing of it."""

    def test_judged(self, busy: History) -> None:
        """A judgement rests on visits and on what they brought."""
        judged = evaluate(busy, Policy(), last="1d", now=at(1_000))
        visits = int(judged.version.partition("-")[0])
        assert judged.coverage["polls"].to_list() == [visits]
        assert len(judged.jobs) == JOBS * visits
        assert judged.schedules["hour"].to_list() == [visits - 1]

    def test_taken_over(self, busy: History, tmp_path: Path) -> None:
        """So it is with a history that is taken over."""
        added = History(tmp_path / "target").merge(busy.path)
        assert (added.observations, added.schedules) == (JOBS * added.polls, added.polls)

    def test_exported(self, busy: History, tmp_path: Path) -> None:
        """So it is with one that is written out."""
        busy.export(tmp_path / "out")
        rows = {
            name: len(pd.read_parquet(tmp_path / "out" / f"{name}.parquet"))
            for name in ("jobs", "observations", "polls", "schedules")
        }
        visits = rows["polls"]
        assert rows == {
            "jobs": JOBS * visits,
            "observations": JOBS * visits,
            "polls": visits,
            "schedules": visits,
        }
