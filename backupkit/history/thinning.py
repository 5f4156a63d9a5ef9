"""Removal of old polls that no figure needs, a few with each append."""

import secrets
from collections.abc import Collection, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import msgspec

from backupkit.errors import SettingsError
from backupkit.history.databases import Connection
from backupkit.history.ledger import compute_digest, record_removal
from backupkit.history.schema import LIST_READ
from backupkit.history.stored import build_select_list, decode_rows
from backupkit.settings import SettingsFile, convert, parse_duration, read_toml
from backupkit.tables import POLLS
from backupkit.tables.constants import CADENCE_FLOOR, CADENCE_GAPS, TOLERATED_SKEW

__all__ = ["KEEP_POLLS", "build_cadence_table", "load_keep_polls", "thin_polls"]

KEEP_POLLS: Final = timedelta(days=90)
_MIN_KEEP_POLLS: Final = timedelta(days=1)
_FOREVER: Final = "forever"
_EXAMPLE: Final = f'keep_polls = "90d" (or "{_FOREVER}")'

_APPENDS_PER_CALL: Final = 8
_POLLS_PER_CALL: Final = 20_000
"""Appends, and about how many of their polls, that one call of `thin` checks."""

_DAY: Final = 86_400_000_000  # us
_TOLERATED_SKEW: Final = TOLERATED_SKEW // timedelta(microseconds=1)
_MIN_TIME: Final = -(2**63)  # us since 1970


def build_cadence_table(owners: str) -> str:
    """Return the table ``c`` for WITH RECURSIVE: the good polls whose gaps give the cadence.

    Parameters
    ----------
    owners : str
        Condition for the appliances ``a``.

    Returns
    -------
    str
        Defines c (appliance_id, polled_at, n), n from 0 for the newest poll.
    """
    before = (
        "(SELECT q.polled_at FROM polls q WHERE q.appliance_id = {} "
        f"AND {LIST_READ.format('q.')} = 1{{}} "
        "ORDER BY q.polled_at DESC LIMIT 1)"
    )
    floor = f" AND q.polled_at <= c.polled_at - {CADENCE_FLOOR // timedelta(microseconds=1)}"
    return (
        "c (appliance_id, polled_at, n) AS ("
        f"SELECT a.id, {before.format('a.id', '')}, 0 FROM appliances a WHERE {owners} "
        f"UNION ALL SELECT c.appliance_id, {before.format('c.appliance_id', floor)}, c.n + 1 "
        f"FROM c WHERE c.n < {CADENCE_GAPS} AND c.polled_at IS NOT NULL)"
    )


def thin_polls(connection: Connection, now: int, keep: int) -> int:
    """Remove some old polls that no figure needs, and return how many.

    Parameters
    ----------
    connection : Connection
        A transaction that writes.
    now, keep : int
        Current time [us since 1970], or the newest append if that is older; and the time before
        it in which all polls stay [us].

    Notes
    -----
    A poll is removed if the polls before and after it are of the same UTC day and have the same
    result, or if it counts as neither good nor failed. So of each day the first and the last good
    poll stay, and both sides of each change between good and failed, or of the clock by more than
    5 minutes. The good polls that give the cadence stay, too, however old they are.
    """
    [(thinned_to,)] = connection.execute("SELECT thinned_to FROM history")
    appended = "FROM appends WHERE kind IN ('append', 'import')"
    newest = connection.execute(f"SELECT latest_at {appended} ORDER BY id DESC LIMIT 1")
    before = min([now, *(latest for (latest,) in newest)]) - keep
    found = connection.execute(
        f"SELECT id, polls, earliest_at, latest_at {appended} AND polls > 0 AND id > ? "
        "ORDER BY id LIMIT ?",
        [thinned_to, _APPENDS_PER_CALL],
    )
    removed: list[Sequence[Any]] = []
    left: dict[int, dict[str, str]] = {}
    poll_count = 0
    for number, polls, earliest, latest in found:
        if latest >= before or poll_count > _POLLS_PER_CALL:
            break
        poll_count, thinned_to = poll_count + polls, number
        polls_of_append = _read_polls(connection, number, earliest, latest)
        removable_polls = _read_polls(
            connection, number, earliest, latest, _build_removable_condition(before)
        )
        names = (
            dict(connection.execute("SELECT name, id FROM appliances")) if removable_polls else {}
        )
        bounds = _find_cadence_bounds(connection, {names[row[0]] for row in removable_polls})
        removable_polls = [
            row for row in removable_polls if row[2] != 1 or row[1] < bounds[names[row[0]]]
        ]
        if removable_polls:
            connection.execute_many(
                "DELETE FROM polls WHERE appliance_id = ? AND polled_at = ?",
                [(names[row[0]], row[1]) for row in removable_polls],
            )
            removed += removable_polls
            kept = set(map(tuple, polls_of_append)) - set(map(tuple, removable_polls))
            [digests] = connection.execute(
                "SELECT COALESCE(observations_left, observations_sha256), "
                "COALESCE(schedules_left, schedules_sha256) FROM appends WHERE id = ?",
                [number],
            )
            left[number] = {
                "observations": digests[0],
                "polls": compute_digest(kept),
                "schedules": digests[1],
            }
    connection.execute("UPDATE history SET thinned_to = ?", [thinned_to])
    if left:
        record_removal(connection, "thin", {"polls": removed}, left, secrets.token_hex(16))
    return len(removed)


def _find_cadence_bounds(connection: Connection, appliances: Collection[int]) -> dict[int, int]:
    """Return the time of the oldest good poll that each cadence needs [us since 1970].

    An appliance with too few polls has `_MIN_TIME`.
    """
    own = f"a.id IN ({', '.join(map(str, appliances)) or 'NULL'})"
    rows = connection.execute(
        f"WITH RECURSIVE {build_cadence_table(own)} SELECT appliance_id, polled_at FROM c "
        f"WHERE n = {CADENCE_GAPS} AND polled_at IS NOT NULL"
    )
    return dict.fromkeys(appliances, _MIN_TIME) | dict(rows)


def _read_polls(
    connection: Connection, number: int, earliest: int, latest: int, *more: str
) -> list[tuple[Any, ...]]:
    """Return the polls of an append; its times find them by the key of the table."""
    columns, _ = build_select_list("polls", POLLS.names, "p.")
    conditions = " AND ".join([f"p.append_id = {number}", *more])
    rows = connection.execute(
        f"SELECT {columns} FROM appliances a "
        f"JOIN polls p ON p.appliance_id = a.id AND p.polled_at BETWEEN {earliest} AND {latest} "
        f"WHERE {conditions}"
    )
    return decode_rows(connection, POLLS.columns, rows)


def _build_removable_condition(before: int) -> str:
    """Return the condition for polls that no figure needs, if the cadence does not."""
    own, other = LIST_READ.format("p."), LIST_READ.format("q.")

    def beside(sign: str, order: str) -> str:
        return (
            f"EXISTS (SELECT 1 FROM (SELECT {other} AS list_read, q.polled_at, "
            "COALESCE(q.clock_skew, 0) AS skew FROM polls q "
            f"WHERE q.appliance_id = p.appliance_id AND q.polled_at {sign} p.polled_at "
            f"AND {other} IS NOT NULL ORDER BY q.polled_at {order} LIMIT 1) w "
            f"WHERE w.list_read = {own} AND w.polled_at / {_DAY} = p.polled_at / {_DAY} "
            f"AND ABS(w.skew - COALESCE(p.clock_skew, 0)) <= {_TOLERATED_SKEW})"
        )

    between = f"{beside('<', 'DESC')} AND {beside('>', 'ASC')}"
    return f"p.polled_at < {before} AND ({own} IS NULL OR ({between}))"


class _Entry(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """The table [history] of fleet.toml."""

    keep_polls: str | None = None


def load_keep_polls(path: str | Path | SettingsFile) -> timedelta | None:
    """Read `keep_polls` from the table [history] of fleet.toml; None means forever."""
    where = f"{path}, [history]"
    table = read_toml(path).table("history")
    entry = convert(table, _Entry, where=where, examples={"keep_polls": _EXAMPLE})
    if entry.keep_polls is None:
        return KEEP_POLLS
    text = entry.keep_polls.strip().lower()
    if text == _FOREVER:
        return None
    span = parse_duration(text, where=f"{where}: keep_polls")
    if span < _MIN_KEEP_POLLS:
        raise SettingsError(
            f'{where}: keep_polls = "{text}" is too short; it must be at least one day, for '
            f"example: {_EXAMPLE}"
        )
    return span
