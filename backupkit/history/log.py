"""Base of the logs of a history: alerts, notes, and nodes of SSO domains."""

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
