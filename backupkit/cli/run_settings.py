"""Table [run] of fleet.toml: what ``backupkit run`` does after the collection."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from backupkit.errors import SettingsError, one_line

if TYPE_CHECKING:
    from backupkit.settings import SettingsFile

__all__ = ["ALWAYS", "VERDICT_STATES", "RunSettings", "parse_states"]

VERDICT_STATES: Final = ("missed", "target-unknown", "met", "breach", "unknown", "compliant")
"""States of both verdicts: of the period, then of its end."""

ALWAYS: Final = "always"
_LETTERS: Final = 3  # of a day of the week
_EXAMPLES: Final = {
    "discover": "discover = true",
    "report": 'report = "reports"',
    "keep": "keep = 30",
    "last": 'last = "30d"',
    "metrics": 'metrics = "/var/lib/node_exporter/backupkit.prom"',
    "mail": 'mail = "breach,unknown"',
    "mail_on": 'mail_on = "monday"',
}


class _Entry(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """Table [run] of fleet.toml."""

    discover: bool = False
    report: str | None = None
    keep: int = 30
    last: str = "30d"
    metrics: str | None = None
    mail: str | None = None
    mail_on: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSettings:
    """Steps of a run after the collection; None, False or an empty set leaves a step out.

    Attributes
    ----------
    discover : bool
        Whether to compare fleet.toml with the nodes of the SSO domains.
    report : Path, optional
        Folder of the reports, one for each day.
    keep : int
        Number of days whose reports are kept.
    last : str
        Length of the period, such as ``30d``.
    metrics : Path, optional
        File for the textfile collector of the node exporter.
    mail : frozenset of str
        States of a verdict for which the report is mailed.
    mail_on : frozenset of str
        Days of the week on which it is mailed, as in `backupkit.tables.WEEKDAYS`; empty: each day.
    """

    discover: bool = False
    report: Path | None = None
    keep: int = 30
    last: str = "30d"
    metrics: Path | None = None
    mail: frozenset[str] = frozenset()
    mail_on: frozenset[str] = frozenset()

    @classmethod
    def load(cls, file: "SettingsFile") -> "RunSettings":
        """Read ``[run]`` of fleet.toml; paths in it are relative to its folder.

        Raises
        ------
        SettingsError
            If an entry is wrong; the message names file, table and key.
        """
        from backupkit.settings import convert, parse_duration  # noqa: PLC0415 # fast --help

        where = f"{file}, [run]"
        entry = convert(file.table("run"), _Entry, where=where, examples=_EXAMPLES)
        if entry.keep < 1:
            raise SettingsError(
                f'{where}: "keep" must be at least 1; for example: {_EXAMPLES["keep"]}'
            )
        parse_duration(entry.last, where=f'{where}: "last"')
        mail = entry.mail or ""
        folder = file.path.parent
        return cls(
            discover=entry.discover,
            report=None if entry.report is None else folder / entry.report,
            keep=entry.keep,
            last=entry.last,
            metrics=None if entry.metrics is None else folder / entry.metrics,
            mail=frozenset(VERDICT_STATES)
            if mail == ALWAYS
            else parse_states(mail, option=f'{where}: "mail"', example=_EXAMPLES["mail"]),
            mail_on=frozenset(_parse_weekdays(entry.mail_on, where=where) if entry.mail_on else ()),
        )


def _parse_weekdays(text: str, *, where: str) -> Iterator[str]:
    """Yield the days of a list with commas, in full; three letters are enough."""
    from backupkit.tables.constants import WEEKDAYS  # noqa: PLC0415 # keeps --help fast

    for word in filter(None, (word.strip() for word in text.split(","))):
        days = [day for day in WEEKDAYS if day.startswith(word.upper()) and len(word) >= _LETTERS]
        if not days:
            raise SettingsError(
                f'{where}: "mail_on": "{one_line(word)}" is no day of the week; for example: '
                f"{_EXAMPLES['mail_on']}"
            )
        yield days[0]


def parse_states(text: str, *, option: str, example: str) -> frozenset[str]:
    """Parse a list of states of a verdict, with commas between them.

    Raises
    ------
    SettingsError
        If one is none of `VERDICT_STATES`.

    Examples
    --------
    >>> sorted(parse_states("missed, breach", option="--mail-if", example=""))
    ['breach', 'missed']
    """
    states = frozenset(word.strip() for word in text.split(",") if word.strip())
    if invalid := states - set(VERDICT_STATES):
        raise SettingsError(
            f'{option}: "{min(invalid)}" is none of {", ".join(VERDICT_STATES)}; for example: '
            f"{example}"
        )
    return states
