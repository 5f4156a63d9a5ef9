"""Base of the logs of a history: its alerts and its notes."""

from backupkit.history.databases import Database

__all__ = ["HistoryLog"]


class HistoryLog:
    """A log of one history; each method is one transaction.

    Parameters
    ----------
    database : Database
        That of the history.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
