"""One table of a history: Delta Lake files, held against their seals when they are read."""

import json
import logging
import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
from deltalake import CommitProperties, DeltaTable, write_deltalake
from deltalake.exceptions import DeltaError
from filelock import FileLock

from backupkit.errors import one_line
from backupkit.history.seals import DamageError, Seals
from backupkit.tables import Table

__all__ = ["TIDY_EVERY", "TIME", "Stored"]

_log = logging.getLogger(__name__)

TIDY_EVERY: Final = 32
"""After so many appends the many small files of a table are put together."""

TIME: Final = {"observations": "observed_at", "polls": "polled_at", "schedules": "seen_at"}
"""The column that tells when a row was learnt, by table."""

_REPEATED: Final = ["appliance", "source", "state", "status", "type"]
_COMMIT: Final = re.compile(r"(\d{20})\.json")
_CHECKPOINT: Final = re.compile(r"(\d{20})\.checkpoint(?:\..*)?\.parquet")


@dataclass(frozen=True, slots=True)
class _Known:
    """A table as it was when it was last read."""

    state: list[tuple[str, int]]
    dataset: ds.Dataset
    files: list[Path]


class Stored:
    """One Delta table in a folder of its own.

    Parameters
    ----------
    table : Table
        Its contract; the folder has its name.
    seals : Seals
        The seals of the history that it belongs to.
    """

    def __init__(self, table: Table, seals: Seals) -> None:
        self.table = table
        self.seals = seals
        self.path = seals.folder / table.name
        self.log = self.path / "_delta_log"
        self._known: _Known | None = None

    def rows(self, columns: Sequence[str], filters: ds.Expression | None) -> pa.Table | None:
        """Read some columns of some rows; None before the first.

        Raises
        ------
        DamageError
            If a file is not as it was written.
        OSError, ValueError, DeltaError
            If the table cannot be read.
        """
        dataset = self._dataset()
        if dataset is None:
            return None
        if not {"appliance", TIME[self.table.name]} <= set(dataset.schema.names):
            raise ValueError(f"the table {self.table.name} has other columns than backupkit's")
        present = [name for name in columns if name in dataset.schema.names]
        return dataset.to_table(columns=present, filter=filters)

    def _dataset(self) -> ds.Dataset | None:
        """Open the table, every file of it as it was written; None before its first row."""
        sealed = self.seals.files()  # first: what is sealed later may be newer than the table
        if self.seals.complete:
            self._mend(sealed.keys())
        commits = self._sealed_commits(sealed)
        if not DeltaTable.is_deltatable(str(self.path)):
            if commits:
                raise DamageError(f"{self.seals.name(commits[min(commits)])} is missing")
            return None
        newest, checkpoint = self._checkpoint()
        log = [*checkpoint, *self._commits()]
        needed = {path for version, path in commits.items() if version > newest}
        self.seals.check({*log, *needed}, sealed)
        state = [(path.name, path.stat().st_mtime_ns) for path in log]
        known = self._known
        if known is None or known.state != state:
            stored = DeltaTable(str(self.path))
            if commits and stored.version() < max(commits):
                raise DamageError(f"{self.seals.name(commits[max(commits)])} is passed over")
            dataset = stored.to_pyarrow_dataset(
                parquet_read_options=ds.ParquetReadOptions(dictionary_columns=_REPEATED)
            )
            known = self._known = _Known(state, dataset, list(self._files(stored)))
        self.seals.check(known.files, sealed)
        return known.dataset

    def _sealed_commits(self, sealed: Iterable[str]) -> dict[int, Path]:
        """Give the commits that were acknowledged, by version."""
        prefix = f"{self.table.name}/_delta_log/"
        return {
            int(found[1]): self.log / found[0]
            for name in sealed
            if name.startswith(prefix) and (found := _COMMIT.fullmatch(name[len(prefix) :]))
        }

    def write(self, rows: pa.Table, *, run: str) -> None:
        """Append rows, and have them written to disk.

        Parameters
        ----------
        rows : pyarrow.Table
            Of the table's columns.
        run : str
            The id of the append; it stands in Delta's log.
        """
        write_deltalake(
            str(self.path),
            rows,
            mode="append",
            schema_mode="merge",  # a folder that an earlier version began lacks newer columns
            commit_properties=CommitProperties(custom_metadata={"backupkit.run": run}),
        )
        self.seal()
        if len(list(self._commits())) >= TIDY_EVERY:
            self.tidy()

    def seal(self) -> None:
        """Seal what is not sealed yet, whoever wrote it."""
        sealed = self.seals.files()
        self.seals.seal([path for path in self._live() if self.seals.name(path) not in sealed])

    def tidy(self) -> None:
        """Put the table's small files together, so that reading stays quick; no row changes."""
        try:
            # of two that compact at once Delta lets both do it, and every row is there twice
            with FileLock(self.seals.folder / ".tidy.lock", blocking=False):
                stored = DeltaTable(str(self.path))
                stored.optimize.compact()
                stored.create_checkpoint()
                stored.vacuum(dry_run=False)  # only what nobody has read for a week
        except (DeltaError, OSError) as error:  # another one is at it: Timeout is an OSError
            _log.info("%s is not tidied now: %s", self.path, one_line(str(error)))
        self.seal()

    def relied_on(self) -> dict[Path, tuple[int, str]]:
        """Give the files that an acknowledged append rests on, and that are in use, with seals."""
        sealed = self.seals.files()
        checkpoints = [
            (int(found[1]), self.log / found[0])
            for name in sealed
            if name.startswith(f"{self.table.name}/_delta_log/")
            and (found := _CHECKPOINT.fullmatch(name.rpartition("/")[2]))
        ]
        newest = max((version for version, _ in checkpoints), default=-1)
        checkpoint = [path for version, path in checkpoints if version == newest]
        commits = self._sealed_commits(sealed)
        log = [path for version, path in sorted(commits.items()) if version > newest]
        files = [*checkpoint, *log, *self._worth()]
        return {path: sealed[name] for path in files if (name := self.seals.name(path)) in sealed}

    def worth(self, path: Path) -> str:
        """Say what cannot be read without one of these files."""
        return self._worth().get(path, f"what of {self.table.name} only this file leads to")

    def _worth(self) -> dict[Path, str]:
        """Say what each data file holds, as the log tells; nothing if that cannot be read."""
        try:
            adds = DeltaTable(str(self.path)).get_add_actions(flatten=True)
        except (DeltaError, OSError, ValueError):
            return {}
        table, time = self.table.name, TIME[self.table.name]
        told = {name: adds.column(name).to_pylist() for name in adds.schema.names}
        none = [None] * len(told["path"])
        columns = [
            told.get(name, none)
            for name in (
                *("path", "num_records", "min.appliance", "max.appliance"),
                *(f"min.{time}", f"max.{time}"),
            )
        ]
        return {
            self.path / path: f"{rows} {table} of {first} to {last}, learnt {begin} to {end}"
            for path, rows, first, last, begin, end in zip(*columns, strict=True)
        }

    def live(self) -> list[Path]:
        """List the files in use: data, commits, and the newest checkpoint."""
        return list(self._live())

    def _live(self) -> Iterator[Path]:
        if not DeltaTable.is_deltatable(str(self.path)):
            return
        yield from self._checkpoint()[1]
        yield from self._commits()
        yield from self._files(DeltaTable(str(self.path)))

    def _files(self, stored: DeltaTable) -> Iterator[Path]:
        for path in stored.get_add_actions(flatten=True).column("path").to_pylist():
            yield self.path / path

    def _checkpoint(self) -> tuple[int, list[Path]]:
        """Give the version of the newest checkpoint, -1 without one, and its files."""
        found: dict[int, list[Path]] = {}
        for path in self.log.glob(f"{'[0-9]' * 20}.checkpoint*.parquet"):
            found.setdefault(int(path.name[:20]), []).append(path)
        return (newest := max(found, default=-1)), sorted(found.get(newest, []))

    def _commits(self) -> Iterator[Path]:
        """List the commits that Delta reads: that of the newest checkpoint, and those after it."""
        newest = self._checkpoint()[0]
        for path in sorted(self.log.glob("*.json")):
            if (matched := _COMMIT.fullmatch(path.name)) and int(matched[1]) >= newest:
                yield path

    def _mend(self, sealed: Collection[str]) -> None:
        """Put aside what a power cut tore, as long as nobody relies on it: the newest changes."""
        newest, checkpoint = self._checkpoint()
        for path in checkpoint:
            of_nothing = not (self.log / f"{newest:020}.json").exists()
            if self.seals.name(path) not in sealed and (of_nothing or not _is_parquet(path)):
                self._put_aside(path, f"{path.name} is not whole")
        self._mend_pointer()
        for path in reversed(list(self._commits())):
            if self.seals.name(path) in sealed or not (torn := self._torn(path)):
                return
            for also in self.log.glob(f"{path.stem}.checkpoint*.parquet"):
                self._put_aside(also, f"it is of {path.name}")
            self._put_aside(path, torn)
            self._mend_pointer()

    def _mend_pointer(self) -> None:
        """Drop Delta's hint at a checkpoint that is not there."""
        pointer = self.log / "_last_checkpoint"
        try:
            version = json.loads(pointer.read_bytes())["version"]
        except FileNotFoundError:
            return
        except (ValueError, KeyError, TypeError):
            version = None
        if not isinstance(version, int) or not any(self.log.glob(f"{version:020}.checkpoint*")):
            pointer.unlink(missing_ok=True)

    def _put_aside(self, path: Path, why: str) -> None:
        aside = self.seals.folder / "torn"
        aside.mkdir(exist_ok=True)
        path.replace(aside / f"{self.table.name}-{path.name}")
        _log.warning(
            "%s: the newest change of %s was never completed (%s), as after a power cut. It is "
            "put aside in torn/; nothing that was acknowledged is lost.",
            self.seals.folder,
            self.table.name,
            why,
        )

    def _torn(self, commit: Path) -> str:
        """Say what is missing of a commit; "" if it is whole."""
        try:
            actions = [json.loads(line) for line in commit.read_bytes().splitlines()]
            added = [action["add"] for action in actions if "add" in action]
            if not actions:
                return f"{commit.name} is empty"
            for add in added:
                data = self.path / add["path"]
                if not data.is_file() or data.stat().st_size != add["size"]:
                    return f"{add['path']} is not whole"
        except FileNotFoundError:  # tidied away meanwhile
            return ""
        except (ValueError, TypeError, KeyError):
            return f"{commit.name} is cut"
        return ""


def _is_parquet(path: Path) -> bool:
    try:
        pq.read_table(path)
    except (OSError, ValueError):  # Arrow's errors are of these
        return False
    return True
