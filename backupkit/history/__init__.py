"""History of all snapshots, in one SQLite file or in a PostgreSQL database."""

from backupkit.history.append import AppendResult
from backupkit.history.history import History, Kind

__all__ = ["AppendResult", "History", "Kind"]
