"""The log of a Delta table as a folder: which commits and checkpoints there are."""

import re
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path
from typing import Final

__all__ = ["Log"]

_COMMIT: Final = re.compile(r"(\d{20})\.json")
_CHECKPOINT: Final = re.compile(r"(\d{20})\.checkpoint(?:\..*)?\.parquet")


@dataclass(frozen=True, slots=True)
class Log:
    """What is in a log.

    Attributes
    ----------
    commits : dict of int to Path
        By version, ascending.
    checkpoints : dict of int to tuple of Path
        By version, ascending; one may have several files.
    """

    commits: dict[int, Path]
    checkpoints: dict[int, tuple[Path, ...]]

    def __bool__(self) -> bool:
        """Tell whether there is a table."""
        return bool(self.commits or self.checkpoints)

    @classmethod
    def of(cls, files: "list[Path]") -> "Log":
        """Tell what the files of a log are."""
        commits: dict[int, Path] = {}
        checkpoints: dict[int, tuple[Path, ...]] = {}
        for path in sorted(files, key=attrgetter("name")):
            if found := _COMMIT.fullmatch(path.name):
                commits[int(found[1])] = path
            elif found := _CHECKPOINT.fullmatch(path.name):
                version = int(found[1])
                checkpoints[version] = (*checkpoints.get(version, ()), path)
        return cls(commits, checkpoints)

    @classmethod
    def listed(cls, folder: Path) -> "Log":
        """Look what is in a folder; nothing if it is not there."""
        return cls.of(list(folder.iterdir()) if folder.is_dir() else [])

    @property
    def newest(self) -> int:
        """The version of the newest checkpoint, -1 without one."""
        return max(self.checkpoints, default=-1)

    @property
    def last(self) -> int:
        """The version that the table is at, -1 without one."""
        return max([self.newest, *self.commits])

    @property
    def checkpoint(self) -> tuple[Path, ...]:
        """The files of the newest checkpoint."""
        return self.checkpoints.get(self.newest, ())

    @property
    def read(self) -> dict[int, Path]:
        """The commits that Delta reads: that of the newest checkpoint, and those after it."""
        return {version: path for version, path in self.commits.items() if version >= self.newest}

    def summed_up(self, keep: int = 1) -> list[Path]:
        """List the files that are older than the newest so many checkpoints.

        With one kept nobody needs them who begins to read now; with two, nobody who began before
        the newest was made.
        """
        versions = sorted(self.checkpoints)
        if len(versions) < keep:
            return []
        oldest = versions[-keep]
        files = [path for version, path in self.commits.items() if version < oldest]
        for version in versions[:-keep]:
            files += self.checkpoints[version]
        return files

    @property
    def after(self) -> dict[int, Path]:
        """The commits that are in no checkpoint."""
        return {version: path for version, path in self.commits.items() if version > self.newest}
