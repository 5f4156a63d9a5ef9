"""History of all snapshots, in one SQLite file or in a PostgreSQL database."""

from backupkit.history.append import AppendResult
from backupkit.history.exchange import Kind
from backupkit.history.history import History

__all__ = ["AppendResult", "History", "Kind"]
