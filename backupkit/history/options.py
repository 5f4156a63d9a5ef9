"""The table [history] of fleet.toml."""

from datetime import timedelta
from pathlib import Path
from typing import Final

import msgspec

from backupkit.errors import SettingsError
from backupkit.history.history import KEEP_POLLS
from backupkit.settings import SettingsFile, convert, parse_duration, read_toml

__all__ = ["load_keep_polls"]

_FOREVER: Final = "forever"
_SHORTEST: Final = timedelta(days=1)
_EXAMPLES: Final = {"keep_polls": f'keep_polls = "90d" (or "{_FOREVER}")'}


class _Entry(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """The table [history]."""

    keep_polls: str | None = None


def load_keep_polls(path: str | Path | SettingsFile) -> timedelta | None:
    """Read from fleet.toml for how long all polls are kept.

    Parameters
    ----------
    path : str, Path or SettingsFile
        The file; without a table [history] it is 90 days.

    Returns
    -------
    timedelta or None
        For `backupkit.History`; None if they are kept forever.

    Raises
    ------
    SettingsError
        If an entry is wrong; the message names file, table and key.
    """
    where = f"{path}, [history]"
    entry = convert(read_toml(path).table("history"), _Entry, where=where, examples=_EXAMPLES)
    if entry.keep_polls is None:
        return KEEP_POLLS
    text = entry.keep_polls.strip().lower()
    if text == _FOREVER:
        return None
    span = parse_duration(text, where=f"{where}: keep_polls")
    if span < _SHORTEST:
        raise SettingsError(
            f'{where}: keep_polls = "{text}" is too short, at least one day is kept; for example: '
            f"{_EXAMPLES['keep_polls']}"
        )
    return span
