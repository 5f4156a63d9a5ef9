"""Files for monitoring systems, and their list."""

from collections.abc import Iterable, Mapping
from importlib.resources import files
from pathlib import Path
from types import MappingProxyType
from typing import Final

from backupkit.errors import OutputError
from backupkit.reports.files import write_files

__all__ = ["KITS", "read_kit", "write_kit"]

KITS: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "prometheus": (
            "backupkit-recording.yml",
            "backupkit-alerts.yml",
            "backupkit-tests.yml",
        ),
        "grafana": (
            "backupkit-prometheus.json",
            "backupkit-sqlite.json",
            "backupkit-postgresql.json",
        ),
    }
)
"""Names of the files of each kit."""


def read_kit(name: str) -> dict[str, bytes]:
    """Return the files of a kit, as they are in the package.

    Examples
    --------
    >>> sorted(read_kit("prometheus"))
    ['backupkit-alerts.yml', 'backupkit-recording.yml', 'backupkit-tests.yml']
    """
    folder = files(__name__) / name
    return {file: (folder / file).read_bytes() for file in KITS[name]}


def write_kit(name: str, folder: Path, *, force: bool = False) -> tuple[Path, ...]:
    """Write the files of a kit into a folder, which is created if it does not exist.

    Parameters
    ----------
    name : str
        One of `KITS`.
    folder : Path
        The folder.
    force : bool
        Whether to replace files that a person may have changed.

    Returns
    -------
    tuple of Path
        The files.

    Raises
    ------
    OutputError
        If a file exists with other content and `force` is False, or a file cannot be written.
        Then none is written.
    """
    contents = {folder / file: content for file, content in read_kit(name).items()}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        changed = [path for path in contents if _is_changed(path, contents[path])]
    except OSError as error:
        raise OutputError(
            f"{folder}: cannot be used: {error.strerror}. Name a folder that you may write to."
        ) from error
    if changed and not force:
        raise OutputError(
            f"{_join(changed)}: exists with other content, and nothing was written. Replace it "
            "with --force, or name another folder."
        )
    return write_files(contents)


def _is_changed(path: Path, content: bytes) -> bool:
    return path.exists() and path.read_bytes() != content


def _join(paths: Iterable[Path]) -> str:
    return ", ".join(map(str, paths))
