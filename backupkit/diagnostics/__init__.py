"""Checks of the connection and the API of each appliance: `doctor`."""

from backupkit.diagnostics.checks import diagnose, doctor
from backupkit.diagnostics.discovery import Discovery, discover
from backupkit.diagnostics.nodes import DomainNode

__all__ = ["Discovery", "DomainNode", "diagnose", "discover", "doctor"]
