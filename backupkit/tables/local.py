"""Backups that an appliance saved on itself, by their type and location."""

from collections.abc import Mapping
from ipaddress import ip_address
from typing import Final
from urllib.parse import urlsplit

import numpy as np
import numpy.typing as npt
import pandas as pd

from backupkit.tables.constants import FOLDER_PATTERN, MAX_LOCATION_LENGTH

__all__ = ["is_local", "mark_local_jobs"]

_LOCAL_TYPE: Final = "LOCAL_BACKUP"
_OWN_NAMES: Final = ("localhost", "localhost.localdomain")


def is_local(location: str, host: str | None = None) -> bool:
    """Return whether a location is on the appliance itself.

    Parameters
    ----------
    location : str
        The location of a job or of a schedule, as the appliance reports it.
    host : str, optional
        Host name or address of the appliance, with or without a port.

    Returns
    -------
    bool
        True for ``file://``, an absolute path, a loopback address, localhost, and the host itself.

    Examples
    --------
    >>> is_local("file:///storage/backup"), is_local("sftp://nas/vc")
    (True, False)
    >>> is_local("sftp://VC-1.example.com:22/vc", "vc-1.example.com")
    True
    """
    on_itself, target = _read_location(location)
    return on_itself or (target != "" and target == _read_host(host))


def mark_local_jobs(jobs: pd.DataFrame, hosts: Mapping[str, str]) -> npt.NDArray[np.bool_]:
    """Return which jobs have a location on their own appliance.

    Parameters
    ----------
    jobs : DataFrame
        Reads ``appliance``, ``type`` and ``location`` of `backupkit.tables.JOBS`.
    hosts : mapping of str to str
        The host of each appliance, as in fleet.toml; those without one may be missing.

    Returns
    -------
    array of bool
        The jobs of type LOCAL_BACKUP, and those that `is_local` finds.

    Examples
    --------
    >>> from backupkit.tables import JOBS
    >>> columns = {"appliance": ["a", "a"], "location": ["sftp://nas/vc", "scp://vc-1/vc"]}
    >>> mark_local_jobs(JOBS.frame(columns), {"a": "vc-1:443"}).tolist()
    [False, True]
    """
    position, texts = pd.factorize(jobs["location"].astype("str"))
    folder, locations = pd.factorize(
        pd.Series(texts, dtype="str").str.replace(FOLDER_PATTERN, r"\1", regex=True)
    )
    which = np.append(folder, -1)[position]
    read = [_read_location(location) for location in locations]
    on_itself = np.array([flag for flag, _ in read] + [False], dtype=bool)
    targets = [target for _, target in read] + [""]  # of a missing location, position -1
    owner, names = pd.factorize(jobs["appliance"])
    own, distinct = pd.factorize(
        pd.Series([_read_host(hosts.get(str(name))) for name in names], dtype="str")
    )
    # the empty text, no host, is none of the distinct ones that can be equal
    target_codes = pd.Index(distinct).get_indexer(pd.Index(targets, dtype="str"))
    target_codes[[target == "" for target in targets]] = -1
    local: npt.NDArray[np.bool_] = on_itself[which] | (
        (target_codes[which] >= 0) & (target_codes[which] == own[owner])
    )
    return local | jobs["type"].eq(_LOCAL_TYPE).to_numpy(dtype=bool, na_value=False)


def _read_location(location: str) -> tuple[bool, str]:
    """Return whether a location is local on every appliance, and else its host."""
    text = location[:MAX_LOCATION_LENGTH].strip()
    try:
        parts = urlsplit(text)
        name = parts.hostname or ""
    except ValueError:  # the appliance may report an invalid URI
        return False, ""
    is_path = text.startswith("/") and not text.startswith("//")
    target = _normalise(name)
    return is_path or parts.scheme == "file" or _is_loopback(target), target


def _read_host(host: str | None) -> str:
    """Return the name or address in a host of fleet.toml, "" without one."""
    try:
        return _normalise(urlsplit(f"//{host or ''}").hostname or "")
    except ValueError:
        return ""


def _normalise(name: str) -> str:
    """Return one form of a host name or address."""
    try:
        return str(ip_address(name))
    except ValueError:
        return name.lower().rstrip(".")


def _is_loopback(name: str) -> bool:
    """Return whether a name or address is that of the machine itself."""
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return name in _OWN_NAMES
