"""Causes of failed backups: what a message means, and what to check next."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, Final, Literal

import msgspec

from backupkit.causes.patterns import check_pattern, find_needle
from backupkit.errors import SettingsError, one_line
from backupkit.settings import SettingsFile, convert, read_toml

__all__ = [
    "MAX_CAUSES",
    "MAX_SEARCHED_LENGTH",
    "Catalogue",
    "Cause",
    "cause_of",
    "known_causes",
    "load_causes",
]

MAX_SEARCHED_LENGTH: Final = 4_000
"""Characters of a message that are searched."""

MAX_CAUSES: Final = 500
"""Maximum number of own causes."""

_MIN_TEXT_LENGTH: Final = 4  # characters of a text to find; a shorter one would be everywhere
_WORD: Final = re.compile(r"\w+|[^\w\s]")
_EXAMPLES: Final = {
    "name": 'name = "storage-gateway"',
    "cause": 'cause = "The storage gateway was restarted."',
    "next_step": 'next_step = "Ask the storage team."',
    "source": 'source = "our wiki, Backup"',
    "tells": 'tells = "place"',
    "texts": 'texts = ["gateway closed the session"]',
    "patterns": "patterns = ['error 7\\d{3}']",
    "ids": 'ids = ["com.example.backup.gateway"]',
}

Tells = Literal["cause", "place", "nothing"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause:
    """A known cause of failed backups.

    Attributes
    ----------
    name : str
        The short name.
    cause : str
        The cause, in a sentence.
    next_step : str
        What to check next, in a sentence.
    source : str
        The source of the message and of its explanation.
    texts : tuple of str
        Texts that occur in its messages as whole words; case and blanks do not matter.
    patterns : tuple of str
        Regular expressions that match its messages.
    ids : tuple of str
        Ids of its messages.
    tells : {"cause", "place", "nothing"}
        What such a message tells: the cause; only where it failed; or only that it failed.
    """

    name: str
    cause: str
    next_step: str
    source: str
    texts: tuple[str, ...] = ()
    patterns: tuple[str, ...] = ()
    ids: tuple[str, ...] = ()
    tells: Tells = "cause"


class Catalogue:
    """Causes, the most specific first, and how to find one quickly.

    Parameters
    ----------
    causes : iterable of Cause
        The causes; of several that match a message, the first counts.

    Examples
    --------
    >>> full = Cause(name="full", cause="Full.", next_step="Wait.", source="", texts=("Disk full",))
    >>> Catalogue([full]).find("Error: disk  full!").name
    'full'
    >>> Catalogue([full]).find("The disk fulls up") is None
    True
    """

    def __init__(self, causes: Iterable[Cause]) -> None:
        self.causes = tuple(causes)
        self._ranks = {cause.name: number for number, cause in enumerate(self.causes)}
        self._ids: dict[str, int] = {}
        self._texts: dict[str, list[tuple[int, str]]] = {}  # by their longest word
        self._patterns: list[tuple[int, str, re.Pattern[str]]] = []
        for number, cause in enumerate(self.causes):
            for message_id in cause.ids:
                self._ids.setdefault(message_id, number)
            for text in cause.texts:
                words = _split_words(text)
                self._texts.setdefault(max(words, key=len), []).append((number, _join(words)))
            self._patterns += (
                (number, find_needle(pattern), re.compile(pattern, re.IGNORECASE))
                for pattern in cause.patterns
            )

    def rank(self, cause: Cause) -> int:
        """Return the position of a cause: the most specific one has 0."""
        return self._ranks[cause.name]

    def __getitem__(self, name: str) -> Cause:
        return self.causes[self._ranks[name]]

    def __contains__(self, name: object) -> bool:
        return name in self._ranks

    def find(self, text: str | None, message_id: str | None = None) -> Cause | None:
        """Return the first cause that matches a message.

        Parameters
        ----------
        text : str or None
            The message; only its first 4,000 characters are searched.
        message_id : str, optional
            The message's id.

        Returns
        -------
        Cause or None
            None if there is none.
        """
        plain = " ".join(text[:MAX_SEARCHED_LENGTH].split()) if isinstance(text, str) else ""
        words = _split_words(plain)
        joined = _join(words)
        best = (
            self._ids.get(message_id, len(self.causes))
            if isinstance(message_id, str)
            else len(self.causes)
        )
        for word in set(words):
            for number, wanted in self._texts.get(word, ()):
                if number < best and wanted in joined:
                    best = number
        folded = plain.casefold()
        for number, needle, pattern in self._patterns:
            if number >= best:
                break
            if needle in folded and pattern.search(plain) is not None:
                best = number
                break
        return self.causes[best] if best < len(self.causes) else None


class _Entry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Table ``[[cause]]``."""

    name: str
    cause: str
    next_step: str
    source: str | None = None
    texts: list[str] = []
    patterns: list[str] = []
    ids: list[str] = []
    tells: Tells = "cause"


@cache
def known_causes() -> Catalogue:
    """Return the causes that backupkit knows, the most specific first.

    Examples
    --------
    >>> known_causes().causes[0].name
    'snapshot'
    """
    return Catalogue(_parse(read_toml(Path(str(files("backupkit.causes") / "known.toml")))))


def load_causes(path: str | Path | SettingsFile) -> tuple[Cause, ...]:
    """Read the own causes of a fleet.

    Parameters
    ----------
    path : str, Path or SettingsFile
        fleet.toml: its tables ``[[cause]]``, and those of the file that its key ``causes`` names,
        relative to its folder.

    Returns
    -------
    tuple of Cause
        In the order of the files, those of fleet.toml first.

    Raises
    ------
    SettingsError
        If a file is missing or an entry is wrong; the message names file, table and key.
    """
    file = read_toml(path)
    named = file.tables.get("causes")
    if named is None:
        return _parse(file)
    if not isinstance(named, str) or not named:
        raise SettingsError(
            f'{file}: causes must be the name of a file; for example: causes = "causes.toml"'
        )
    place = file.path.parent / named
    if not place.is_file():
        raise SettingsError(f'{file}: causes = "{one_line(named)}": there is no file {place}.')
    other = read_toml(place)
    if unknown := sorted(set(other.tables) - {"cause"}):
        raise SettingsError(
            f'{other}: unknown key "{one_line(unknown[0])}"; the file has only tables [[cause]].'
        )
    return _parse(file, other)


def _parse(*read: SettingsFile) -> tuple[Cause, ...]:
    """Convert the tables ``[[cause]]`` of some files."""
    causes: dict[str, Cause] = {}
    for file in read:
        entries = file.tables.get("cause", [])
        if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
            raise SettingsError(f"{file}: cause must be a list of tables: [[cause]]")
        for number, entry in enumerate(entries, start=1):
            where = f"{file}, [[cause]] {number}"
            cause = _parse_entry(entry, where=where, source=file.path.name)
            if cause.name in causes:
                raise SettingsError(f'{where}: another cause is named "{cause.name}".')
            causes[cause.name] = cause
        if len(causes) > MAX_CAUSES:
            raise SettingsError(f"{file}: it has more than {MAX_CAUSES} causes.")
    return tuple(causes.values())


def _parse_entry(entry: Mapping[str, Any], *, where: str, source: str) -> Cause:
    given = convert(entry, _Entry, where=where, examples=_EXAMPLES)
    for key in ("name", "cause", "next_step"):
        if not getattr(given, key).strip():
            raise SettingsError(f'{where}: "{key}" is empty; for example: {_EXAMPLES[key]}')
    if not (given.texts or given.patterns or given.ids):
        raise SettingsError(
            f"{where}: nothing says which messages it is about; for example: {_EXAMPLES['texts']}"
        )
    for text in given.texts:
        if len(text.strip()) < _MIN_TEXT_LENGTH:
            raise SettingsError(
                f'{where}: "texts": "{text}" is too short; write at least {_MIN_TEXT_LENGTH}'
                " characters."
            )
    for pattern in given.patterns:
        try:
            check_pattern(pattern)
        except ValueError as error:
            raise SettingsError(f'{where}: "patterns": {pattern} {error}.') from error
    if not all(given.ids):
        raise SettingsError(f'{where}: "ids": an id is empty; for example: {_EXAMPLES["ids"]}')
    return Cause(
        name=given.name,
        cause=given.cause,
        next_step=given.next_step,
        source=given.source or source,
        texts=tuple(given.texts),
        patterns=tuple(given.patterns),
        ids=tuple(given.ids),
        tells=given.tells,
    )


def cause_of(text: str | None, message_id: str | None = None) -> Cause | None:
    """Return the known cause of a failure message.

    Parameters
    ----------
    text : str or None
        The message; only its first 4,000 characters are searched.
    message_id : str, optional
        The message's id.

    Returns
    -------
    Cause or None
        The first of `known_causes` that matches, None if there is none.

    Notes
    -----
    The ids of backup messages are not public, so the text is matched, and a few ids. Messages
    in other languages are not recognised.

    Examples
    --------
    >>> cause_of("Error during component wcp backup").name
    'component-wcp'
    >>> cause_of("The moon is full") is None
    True
    """
    return known_causes().find(text, message_id)


def _split_words(text: str) -> list[str]:
    """Return the words of a text, and the signs between them, in lower case."""
    return _WORD.findall(text.casefold())


def _join(words: Iterable[str]) -> str:
    return f" {' '.join(words)} "
