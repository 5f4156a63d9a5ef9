"""A history is held against its seals: no damage passes unseen, and a power cut loses nothing."""

import contextlib
import json
import logging
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable
from itertools import count
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake
from pandas.testing import assert_frame_equal

from backupkit.errors import HistoryError
from backupkit.history import History, durable, stored
from backupkit.history.sealed import Sealed
from backupkit.history.seals import DamageError, Seals
from tests.test_history import job, sealed, snapshot

ROOT = Path(__file__).parent.parent
ROUNDS = 6


def appended(history: History, number: int) -> None:
    """Append one round."""
    jobs = [job("vc-1", f"{number}-{place}", "SUCCEEDED", progress=place) for place in range(5)]
    history.append(snapshot(number, *jobs))


def told(history: History) -> tuple[pd.DataFrame, ...]:
    """Read all that a history holds."""
    return history.observations(), history.polls(), history.schedules()


def same(one: tuple[pd.DataFrame, ...], other: tuple[pd.DataFrame, ...]) -> bool:
    """Compare what two histories hold."""
    return all(left.equals(right) for left, right in zip(one, other, strict=True))


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> History:
    """Keep some rounds, of which the first were tidied."""
    history = History(tmp_path_factory.mktemp("sealed") / "history")
    with pytest.MonkeyPatch.context() as often:
        often.setattr("backupkit.history.sealed.TIDY_EVERY", 4)
        for number in range(ROUNDS):
            appended(history, number)
    return history


def cut(path: Path) -> None:
    """Cut a file in the middle."""
    os.truncate(path, path.stat().st_size // 2)


def empty(path: Path) -> None:
    """Leave nothing of a file but its name."""
    os.truncate(path, 0)


def flip(path: Path) -> None:
    """Turn one bit over, in the middle of a file."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("damage", [cut, empty, flip, Path.unlink])
def test_each_file_in_turn(kept: History, tmp_path: Path, damage: Callable[[Path], None]) -> None:
    """Whatever happens to whichever file: the right rows, or an error that says what to do."""
    truth = told(kept)
    files = [
        path.relative_to(kept.path)
        for path in kept.path.rglob("*")
        if path.is_file() and path.stat().st_size  # the lock of the upkeep is empty
    ]
    assert len(files) > 20
    refused = 0
    for number, name in enumerate(sorted(files)):
        folder = shutil.copytree(kept.path, tmp_path / str(number))
        damage(folder / name)
        try:
            found = told(History(folder, create=False))
        except HistoryError:
            refused += 1
        else:
            assert same(found, truth), name
        shutil.rmtree(folder)
    assert refused >= 9  # data, log, checkpoint, of three tables


def test_a_damaged_file_is_named(kept: History, tmp_path: Path) -> None:
    """The error names the file, what is wrong with it, and the next step."""
    folder = shutil.copytree(kept.path, tmp_path / "copy")
    history = History(folder)
    told(history)
    data = next(path for path in sealed(history, "observations").live() if "part-" in path.name)
    flip(data)
    with pytest.raises(HistoryError, match=rf"{data.name} is not as it was .*history verify"):
        history.observations()
    with pytest.raises(HistoryError, match="is not as it was"):
        appended(history, 20)
    cut(data)
    with pytest.raises(HistoryError, match=r"bytes and not"):
        history.observations()


def test_a_table_that_is_gone(kept: History, tmp_path: Path) -> None:
    """A table that was there once is never taken for one that was never begun."""
    folder = shutil.copytree(kept.path, tmp_path / "copy")
    shutil.rmtree(folder / "polls")
    with pytest.raises(HistoryError, match=r"polls/_delta_log/.* is missing"):
        History(folder).polls()


def test_an_earlier_version(tmp_path: Path) -> None:
    """A folder without seals is read as it is, and sealed by the next append."""
    folder = shutil.copytree(ROOT / "data" / "history", tmp_path / "history")
    mark = json.loads((folder / "backupkit-history.json").read_text(encoding="utf-8"))
    assert "steps" not in mark
    before = told(History(folder))
    assert not (folder / "seals").exists()
    appended(History(folder), 1)
    assert len(told(History(folder))[0]) == len(before[0]) + 5
    marked = json.loads((folder / "backupkit-history.json").read_text(encoding="utf-8"))
    assert marked["steps"] == ["seals", "months"]
    flip(next((folder / "observations").glob("month=*/*.parquet")))
    with pytest.raises(HistoryError, match="is not as it was"):
        History(folder).observations()


def test_an_earlier_version_without_rows(tmp_path: Path) -> None:
    """A folder of an earlier version that holds nothing yet is one of this version then."""
    (tmp_path / "backupkit-history.json").write_text('{"format": 1}', encoding="utf-8")
    one, other = History(tmp_path), History(tmp_path)
    assert not one.sealed
    appended(one, 1)
    appended(other, 2)  # it does not know yet
    assert one.sealed
    assert len(History(tmp_path).observations()) == 10
    assert History(tmp_path).sealed


def test_delta_passes_over_a_commit(
    kept: History, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What Delta does not read though it was acknowledged is an error, whatever the reason."""

    class Older(DeltaTable):
        """Reads one commit less."""

        def version(self) -> int:
            return super().version() - 1

    monkeypatch.setattr("backupkit.history.sealed.DeltaTable", Older)
    folder = shutil.copytree(kept.path, tmp_path / "copy")
    with pytest.raises(HistoryError, match=r"_delta_log/.*json is passed over"):
        History(folder).polls()


def test_files_that_go_meanwhile(kept: History, tmp_path: Path) -> None:
    """What another process tidied away a moment ago is no error."""
    folder = shutil.copytree(kept.path, tmp_path / "copy")
    (folder / "seals" / "joined.json").symlink_to(folder / "gone")
    history = History(folder)
    assert same(told(history), told(kept))
    durable.sync([folder / "gone"], folder)
    assert sealed(history, "polls")._torn(folder / "gone") == ""


@pytest.mark.parametrize(("first", "dropped"), [(True, False), (False, False), (False, True)])
def test_held_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, dropped: bool, first: bool
) -> None:
    """What is written where a commit was that is summed up, as after a pause, is written again."""
    monkeypatch.setattr("backupkit.history.sealed.TIDY_EVERY", 4)
    history = History(tmp_path / "history")
    if not first:
        appended(history, 0)
    beside, late = History(history.path), sealed(history, "observations")
    copy = tmp_path / "copy"

    def paused(table: DeltaTable | str, rows: pa.Table, **more: Any) -> None:  # noqa: ANN401 # as it is called
        if copy.exists() or "/observations" not in str(getattr(table, "table_uri", table)):
            write_deltalake(table, rows, **more)
            return
        there: set[Path] = set()
        if not first:
            shutil.copytree(late.path, copy)
            there = set(copy.rglob("*"))
        write_deltalake(copy, rows, **more)  # the version is looked up
        for number in range(2, 20):
            appended(beside, number)
        if late._known:
            late._known.stored = DeltaTable(copy)
        for path in {path for path in copy.rglob("*") if path.is_file()} - there:
            if not (dropped and path.suffix == ".json"):
                (late.path / path.relative_to(copy)).write_bytes(path.read_bytes())  # and taken

    monkeypatch.setattr(stored, "write_deltalake", paused)
    appended(history, 1)
    rounds = 19 if first else 20
    assert len(History(history.path).jobs()) == len(history.observations()) == 5 * rounds
    assert history.verify().empty


def test_dropped_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is written, and summed up by another process at once, is not written again."""
    history = History(tmp_path / "history")
    history.append(snapshot(0, job("vc-2", "1", "SUCCEEDED")))
    beside = History(history.path)

    def beside_forget(table: DeltaTable, rows: pa.Table, **more: Any) -> None:  # noqa: ANN401 # as it is called
        write_deltalake(table, rows, **more)
        if table.table_uri.endswith("/observations/"):
            beside.forget("vc-2")

    with monkeypatch.context() as patch:
        patch.setattr(stored, "write_deltalake", beside_forget)
        appended(history, 1)
    assert len(history.observations()) == 5
    assert len(history.polls(appliances=["vc-1"])) == 2


def test_a_first_append_dropped_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same of what began the table."""
    history = History(tmp_path / "history")
    table = sealed(history, "observations")

    def beside_tidy(uri: Any, rows: pa.Table, **more: Any) -> None:  # noqa: ANN401 # as it is called
        write_deltalake(uri, rows, **more)
        if "/observations" in str(uri):
            beside = History(history.path)
            sealed(beside, "observations").seal()
            sealed(beside, "observations").drop("job_id = '1-0'")

    with monkeypatch.context() as patch:
        patch.setattr(stored, "write_deltalake", beside_tidy)
        appended(history, 1)
    assert table.count() == len(history.observations()) == 4


def test_read_beside_forget(kept: History, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that is removed on purpose while it is read is no damage."""
    history = History(shutil.copytree(kept.path, tmp_path / "copy"))
    history.append(snapshot(30, job("vc-2", "30", "SUCCEEDED")))
    beside, check = History(history.path), Seals.check
    forgot: list[dict[str, int]] = []

    def late(seals: Seals, files: Iterable[Path], sealed: Any) -> None:  # noqa: ANN401 # as it is called
        wanted = list(files)
        data = any(path.suffix == ".parquet" and "month=" in str(path) for path in wanted)
        if data and not forgot and seals is history._store.seals:
            forgot.append({})
            forgot.append(beside.forget("vc-2"))
        check(seals, wanted, sealed)

    monkeypatch.setattr(Seals, "check", late)
    assert set(history.observations()["appliance"]) == {"vc-1"}
    assert forgot[1]["observations"] == 1


def test_a_log_that_never_rests(
    kept: History, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Damage is told of also while others go on appending."""
    history = History(shutil.copytree(kept.path, tmp_path / "copy"))
    log = sealed(history, "polls").log
    number = count(50)

    def torn(_stored: Sealed, _log: Any) -> None:  # noqa: ANN401 # as it is called
        (log / f"{next(number):020}.json").touch()
        raise DamageError("polls is torn")

    monkeypatch.setattr(Sealed, "_known_by", torn)
    with pytest.raises(HistoryError, match="polls is torn"):
        history.polls()


def test_seals_joined_meanwhile(kept: History, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who reads seals that another process joins begins anew."""
    before = Seals(kept.path).files()
    seals, module = Seals(kept.path), sys.modules["backupkit.history.seals"]
    parsed = module._parsed
    joined: list[str] = []

    def late(content: bytes, name: str) -> Any:  # noqa: ANN401 # as it is called
        if not joined:
            joined.append(name)
            beside = Seals(kept.path)
            beside.join(kept.path / path for path in beside.files())
            raise FileNotFoundError(name)
        return parsed(content, name)

    monkeypatch.setattr(module, "_parsed", late)
    assert seals.files() == before


def fill(path: Path) -> None:  # pragma: no cover # see below
    """Leave no space on a disk."""
    handle = os.open(path, os.O_WRONLY | os.O_CREAT)
    with contextlib.suppress(OSError):
        while True:
            os.write(handle, b"x" * 1024)
    os.close(handle)


def test_a_full_disk(tmp_path: Path) -> None:  # pragma: no cover # only where root may mount one
    """Where no space is left it says so, loses nothing, and goes on once there is space."""
    disk = tmp_path / "disk"
    disk.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=1M", "tmpfs", str(disk)]
    if not shutil.which("mount") or subprocess.run(command, check=False).returncode:
        pytest.skip("only root may mount a small disk")
    try:
        history = History(disk / "history")
        appended(history, 0)
        ballast = disk / "ballast"
        fill(ballast)
        with pytest.raises(HistoryError, match=r"(?i)cannot be written: .*no space"):
            appended(history, 1)
        assert len(history.observations()) == 5
        ballast.unlink()
        appended(history, 1)
        assert len(History(disk / "history").observations()) == 10
        assert History(disk / "history").verify().empty
    finally:
        subprocess.run(["umount", str(disk)], check=True)  # noqa: S607 # wherever it is


def test_read_only(kept: History, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder that cannot be written is read as ever; an append says why it cannot be."""
    folder = shutil.copytree(kept.path, tmp_path / "history")

    def refuse(path: Path, *_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    history = History(folder)
    with monkeypatch.context() as patch:  # root may write anywhere: rights alone do not do
        patch.setattr(Path, "write_bytes", refuse)
        assert same(told(history), told(kept))
        with pytest.raises(HistoryError, match=r"cannot be written: .*Permission denied"):
            appended(history, 30)
    appended(history, 30)
    assert len(History(folder).observations()) == 5 * ROUNDS + 5


class TestTorn:
    """What was not on disk when the power went."""

    @pytest.fixture
    def unacknowledged(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> History:
        """Acknowledge one round, and lose the power in the middle of the next."""
        history = History(tmp_path / "history")
        appended(history, 0)

        def lost(_stored: Sealed) -> None:
            raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr(Sealed, "seal", lost)
            with pytest.raises(KeyboardInterrupt):
                appended(history, 1)
        return history

    @pytest.mark.parametrize("tear", [cut, empty])
    @pytest.mark.parametrize("what", ["_delta_log/*1.json", "month=*/*.parquet"])
    def test_put_aside(
        self,
        unacknowledged: History,
        caplog: pytest.LogCaptureFixture,
        tear: Callable[[Path], None],
        what: str,
    ) -> None:
        """A torn change that nobody relies on is put aside and told; the next append works."""
        path = unacknowledged.path
        acknowledged = set(Seals(path).files())
        (torn,) = (
            file
            for file in (path / "observations").glob(what)
            if file.relative_to(path).as_posix() not in acknowledged
        )
        tear(torn)
        history = History(path)
        with caplog.at_level(logging.WARNING, logger="backupkit.history"):
            assert len(history.observations()) == 5
        assert "put aside in torn/; nothing that was acknowledged is lost" in caplog.text
        assert len(list((path / "torn").iterdir())) == 1
        appended(history, 1)
        assert len(History(path).observations()) == 10

    def test_whole(self, unacknowledged: History) -> None:
        """A change that is whole is kept, and counts once its polls are there."""
        assert len(History(unacknowledged.path).observations()) == 5
        appended(History(unacknowledged.path), 1)
        assert len(History(unacknowledged.path).observations()) == 10

    def test_with_its_checkpoint(self, unacknowledged: History) -> None:
        """A checkpoint of a torn change goes with it."""
        table = unacknowledged.path / "observations"
        DeltaTable(table).create_checkpoint()
        cut(table / "_delta_log" / f"{1:020}.json")
        assert len(History(unacknowledged.path).observations()) == 5
        assert len(list((unacknowledged.path / "torn").iterdir())) == 2
        appended(History(unacknowledged.path), 1)
        assert len(History(unacknowledged.path).observations()) == 10

    def test_two_mend_at_once(
        self, unacknowledged: History, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """What another one has mended, and written anew since, is not put aside."""
        path = unacknowledged.path
        cut(path / "observations" / "_delta_log" / f"{1:020}.json")
        module: Any = sys.modules["backupkit.history.sealed"]
        lock = module.FileLock

        def slow(*given: Any, **more: Any) -> Any:  # noqa: ANN401 # as it is called
            monkeypatch.setattr(module, "FileLock", lock)
            appended(History(path), 1)  # another one is quicker
            return lock(*given, **more)

        monkeypatch.setattr(module, "FileLock", slow)
        history = History(path)
        assert len(history.observations()) == 10
        assert history.verify().empty
        assert len(list((path / "torn").iterdir())) == 1

    def test_an_earlier_version_is_not_mended(self, tmp_path: Path) -> None:
        """Where nothing tells what was acknowledged, nothing is put aside."""
        folder = shutil.copytree(ROOT / "data" / "history", tmp_path / "history")
        cut(folder / "observations" / "_delta_log" / "00000000000000000000.json")
        with pytest.raises(HistoryError, match="cannot be read"):
            History(folder).observations()
        assert not (folder / "torn").exists()


class Disk:
    """Remembers what was synced, and takes the rest away as a power cut does."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self.safe: dict[int, bytes] = {}  # by inode: a synced file may be renamed
        self.named: set[Path] = set()
        sync = durable.sync_one

        def remember(path: Path) -> None:
            sync(path)
            if path.is_dir():
                self.named |= set(path.iterdir())
            else:
                self.safe[path.stat().st_ino] = path.read_bytes()

        monkeypatch.setattr(durable, "sync_one", remember)

    def after_a_cut(self, target: Path, chance: random.Random) -> Path:
        """Copy the folder as it may be found: what was not synced is whole, cut, empty or gone."""
        shutil.copytree(self.folder, target)
        for path in [path for path in self.folder.rglob("*") if path.is_file()]:
            copy = target / path.relative_to(self.folder)
            content = path.read_bytes()
            if self.safe.get(path.stat().st_ino) == content and self.lasting(path):
                continue
            match chance.choice(["whole", "cut", "empty", "gone"]):
                case "cut":
                    copy.write_bytes(content[: chance.randrange(len(content) + 1)])
                case "empty":
                    copy.write_bytes(b"")
                case "gone":
                    copy.unlink()
        return target

    def lasting(self, path: Path) -> bool:
        """Tell whether every folder on the way to a file is known to name the next."""
        return all(
            place in self.named
            for place in [path, *path.parents]
            if place != self.folder and place.is_relative_to(self.folder)
        )


@pytest.fixture
def disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Disk:
    """Watch what is synced."""
    return Disk(tmp_path / "history", monkeypatch)


def test_power_cut(disk: Disk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whenever the power goes, every acknowledged round is there, whole and once."""
    monkeypatch.setattr("backupkit.history.sealed.TIDY_EVERY", 4)
    monkeypatch.setattr(sys.modules["backupkit.history.store"], "_SEALS", 9)
    chance = random.Random(int(os.environ.get("SEED", "1")))  # noqa: S311 # nothing secret
    history = History(disk.folder)
    acknowledged: set[str] = set()
    cuts = count()
    looking = False

    def look() -> None:
        """Lose the power now, and see what a reader and a writer find then."""
        nonlocal looking
        looking = True
        found = History(disk.after_a_cut(tmp_path / f"cut-{next(cuts)}", chance))
        rounds = found.observations()["job_id"].str.replace(r"-.*", "", regex=True).value_counts()
        assert set(rounds) <= {5}
        assert set(rounds.index) >= acknowledged
        appended(found, 50)
        jobs = History(found.path).jobs()
        assert not jobs.duplicated(["appliance", "job_id"]).any()
        assert "50-4" in set(jobs["job_id"])
        shutil.rmtree(found.path)
        looking = False

    write = Sealed.write

    def interrupted(stored: Sealed, rows: pa.Table, *, run: str) -> None:
        if not looking:
            look()
        write(stored, rows, run=run)
        if not looking:
            look()

    seal = Sealed.seal

    def interrupted_seal(stored: Sealed) -> None:
        if not looking:
            look()
        seal(stored)

    monkeypatch.setattr(Sealed, "write", interrupted)
    monkeypatch.setattr(Sealed, "seal", interrupted_seal)
    for number in range(8):
        appended(history, number)
        acknowledged.add(str(number))
        look()
    assert next(cuts) > 40


def test_power_cut_while_removing(
    disk: Disk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whenever the power goes, no row is lost that was not to go."""
    chance = random.Random(int(os.environ.get("SEED", "1")))  # noqa: S311 # nothing secret
    history = History(disk.folder)
    for minute in range(3):
        jobs = (job(name, f"{minute}", "SUCCEEDED") for name in ("vc-1", "vc-2"))
        history.append(snapshot(minute, *jobs))
    kept = history.jobs(appliances=["vc-1"])
    cuts = count()

    def look() -> None:
        for _ in range(4):
            found = History(disk.after_a_cut(tmp_path / f"cut-{next(cuts)}", chance))
            assert_frame_equal(found.jobs(appliances=["vc-1"]), kept)

    def watched(action: Callable[..., Any]) -> Callable[..., Any]:
        def looking(*given: Any, **more: Any) -> Any:  # noqa: ANN401 # as it is called
            told = action(*given, **more)
            look()
            return told

        return looking

    with monkeypatch.context() as patch:
        for owner, name in ((DeltaTable, "delete"), (DeltaTable, "vacuum"), (Sealed, "seal")):
            patch.setattr(owner, name, watched(getattr(owner, name)))
        patch.setattr(Sealed, "_forget_log", watched(Sealed._forget_log))
        history.forget("vc-2")
    assert next(cuts) >= 48
    assert set(history.jobs()["appliance"]) == {"vc-1"}
