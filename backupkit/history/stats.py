"""Key figures of a history: row counts, period, size."""

import pandas as pd

from backupkit.history.databases import Reader

__all__ = ["facts_of"]

_REMOVED = {
    "prune": "rows learnt before a date",
    "forget": "rows of one appliance",
    "thin": "old polls that no figure needs",
}


def facts_of(reader: Reader, *, size: int) -> dict[str, str]:
    """Count what is kept.

    Parameters
    ----------
    reader : Reader
        The tables.
    size : int
        Of the database [bytes].

    Returns
    -------
    dict of str to str
        As `backupkit.History.facts` gives it.
    """
    counts = {
        name: int(reader.rows(f"SELECT COUNT(*) AS n FROM {source}", {"n": "integer"})[0][0])
        for name, source in {
            "appliances": "appliances",
            "jobs": "jobs WHERE first_seen_at IS NOT NULL",
            "observations": "observations",
            "polls": "polls WHERE ok IS NOT NULL",
            "failed": "polls WHERE ok = 0",
        }.items()
    }
    times = {"first": "integer", "last": "integer"}
    [(first, _)] = reader.rows(
        "SELECT MIN(observed_at) AS first, 0 AS last FROM observations", times
    )
    [(_, last)] = reader.rows("SELECT 0 AS first, MAX(polled_at) AS last FROM polls", times)
    facts = {"Size": f"{size / 2**20:,.1f} MiB", **_removals(reader)}
    if not counts["observations"] and last is None:
        return {"Kept": "nothing yet", **facts}
    [(appends, head)] = reader.rows(
        "SELECT (SELECT COUNT(*) FROM appends) AS n, head FROM history",
        {"n": "integer", "head": "text"},
    )
    return {
        "Appliances": f"{counts['appliances']:,}",
        "Jobs": f"{counts['jobs']:,}",
        "Observations": f"{counts['observations']:,}",
        "First observation": _moment(first),
        "Last poll": _moment(last),
        "Polls": f"{counts['polls']:,}, of which {counts['failed']:,} failed",
        **facts,
        "Appends": f"{appends:,}",
        "Head": head,
    }


def _moment(stamp: int | None) -> str:
    if stamp is None:
        return "none"
    return f"{pd.Timestamp(stamp, unit='us', tz='UTC'):%Y-%m-%d %H:%M} UTC"


def _removals(reader: Reader) -> dict[str, str]:
    """Return how many rows were removed on purpose, by day."""
    removed = reader.rows(
        "SELECT kind, appended_at, observations + polls + schedules AS n FROM appends "
        "WHERE kind IN ('prune', 'forget')",
        {"kind": "text", "appended_at": "integer", "n": "integer"},
    )
    return {
        f"Removed {_moment(when)[:10]}": f"{number:,} rows: {_REMOVED[kind]}"
        for kind, when, number in sorted(removed, key=lambda row: row[1])
    }
