"""doctor(): whether each appliance can be read, at which step not, and what to do."""

from backupkit.doctor.rounds import doctor

__all__ = ["doctor"]
