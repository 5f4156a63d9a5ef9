"""Checks of the connection and the API of each appliance: `doctor`."""

from backupkit.diagnostics.checks import doctor
from backupkit.diagnostics.discovery import Discovery, discover
from backupkit.diagnostics.nodes import DomainNode

__all__ = ["Discovery", "DomainNode", "discover", "doctor"]
