"""How one appliance is asked: sessions, retries, trust; the one user of `requests`."""

from backupkit.client.limits import Limits
from backupkit.client.session import ApplianceClient

__all__ = ["ApplianceClient", "Limits"]
