"""History: every snapshot ever kept, as Delta Lake tables in one folder."""

from backupkit.history.appended import Appended
from backupkit.history.history import History
from backupkit.history.mark import FORMAT

__all__ = ["FORMAT", "Appended", "History"]
