"""Targets of backups, from the locations that appliances report."""

from typing import Final
from urllib.parse import urlsplit

from backupkit.tables.constants import MAX_LOCATION_LENGTH

__all__ = ["target_of"]

_MAX_HOST_LENGTH: Final = 255
_DEFAULT_PORTS: Final = {
    "ftp": 21,
    "ftps": 990,
    "http": 80,
    "https": 443,
    "nfs": 2049,
    "scp": 22,
    "sftp": 22,
    "smb": 445,
}


def target_of(location: str) -> str | None:
    """Return scheme and host of a location, and the port if it is not the default.

    Parameters
    ----------
    location : str
        The URI of a backup, as reported by the appliance.

    Returns
    -------
    str or None
        The target without user and password; None if no host is found, or if it may be part of a
        password.

    Examples
    --------
    >>> target_of("sftp://me:secret@NAS.example.com:22/vc")
    'sftp://nas.example.com'
    >>> target_of("sftp://10.0.0.250:2222/backups")
    'sftp://10.0.0.250:2222'
    """
    try:
        parts = urlsplit(location[:MAX_LOCATION_LENGTH])
        host, port = parts.hostname, parts.port
    except ValueError:  # the appliance may report an invalid URI
        return None
    if not parts.scheme or not host or not _is_host_name(host):
        return None
    # a password with a slash: host and port are really the user and the start of the password
    if "@" in location and "@" not in parts.netloc and ":" in parts.netloc.rpartition("]")[2]:
        return None
    host_text = f"[{host}]" if ":" in host else host
    usual = port is None or port == _DEFAULT_PORTS.get(parts.scheme)
    return f"{parts.scheme}://{host_text}" + ("" if usual else f":{port}")


def _is_host_name(host: str) -> bool:
    """Return whether a host is plausible; an encoded ``@`` would hide a user."""
    plain = host.isprintable() and " " not in host and "%40" not in host
    return plain and len(host) <= _MAX_HOST_LENGTH
