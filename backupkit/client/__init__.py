"""HTTP client of one appliance: sessions, retries, TLS; the only user of `requests`."""

from backupkit.client.limits import Limits
from backupkit.client.session import ApplianceClient

__all__ = ["ApplianceClient", "Limits"]
