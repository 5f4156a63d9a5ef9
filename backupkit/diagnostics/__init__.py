"""Checks of the connection and the API of each appliance: `doctor`."""

from backupkit.diagnostics.checks import doctor

__all__ = ["doctor"]
