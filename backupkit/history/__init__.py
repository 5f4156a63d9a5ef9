"""History: what was ever learnt, in one SQLite file or in a PostgreSQL database."""

from backupkit.history.append_result import AppendResult
from backupkit.history.exchange import Kind
from backupkit.history.history import History

__all__ = ["AppendResult", "History", "Kind"]
