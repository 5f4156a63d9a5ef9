"""History: every snapshot ever kept, as Delta Lake tables in one folder."""

from backupkit.history.history import Appended, History
from backupkit.history.mark import FORMAT

__all__ = ["FORMAT", "Appended", "History"]
