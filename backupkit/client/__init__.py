"""HTTP client of one appliance: sessions, retries, TLS; the only user of `requests`."""

from backupkit.client.session import ApplianceClient
from backupkit.limits import Limits

__all__ = ["ApplianceClient", "Limits"]
