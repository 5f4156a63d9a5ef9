"""Sentence about what fleet.toml and the SSO domains do not have in common."""

from collections.abc import Iterable
from typing import Final

import pandas as pd

from backupkit.display.format import format_count, format_relative, sanitise

__all__ = ["describe_inventory"]

_MAX_NAMES: Final = 5


def describe_inventory(inventory: pd.DataFrame, now: pd.Timestamp) -> str:
    """Return which vCenters fleet.toml lacks, and which appliances no SSO domain has.

    Parameters
    ----------
    inventory : DataFrame
        Of `backupkit.tables.INVENTORY`.
    now : Timestamp
        Time of the assessment [UTC].

    Returns
    -------
    str
        One sentence; "" if there is no such vCenter or appliance.

    Examples
    --------
    >>> from backupkit.tables import INVENTORY
    >>> now = pd.Timestamp("2026-11-09T03:00Z")
    >>> read = {"seen_at": [pd.Timestamp("2026-11-09T00:00Z")]}
    >>> frame = INVENTORY.frame({"host": ["vc-2.test"], "result": ["missing"], **read})
    >>> describe_inventory(frame, now)
    '1 vCenter of the SSO domains is not in fleet.toml (vc-2.test), read 3 h ago'
    """
    by_result = {
        result: inventory[inventory["result"] == result]
        for result in ("missing", "unlisted", "unknown")
    }
    missing, unlisted, unknown = by_result.values()
    parts = []
    if len(missing):
        verb = "is" if len(missing) == 1 else "are"
        count = format_count(len(missing), "vCenter")
        parts.append(
            f"{count} of the SSO domains {verb} not in fleet.toml ({_join(missing['host'])})"
        )
    if len(unlisted):
        parts.append(f"in fleet.toml, but in no SSO domain: {_join(unlisted['appliance'])}")
    if not parts:
        return ""
    if len(unknown):
        parts.append(f"SSO domain unknown of {_join(unknown['appliance'])}")
    oldest = pd.concat([missing["seen_at"], unlisted["seen_at"]]).min()
    return f"{'; '.join(parts)}, read {format_relative(oldest, now)}"


def _join(names: Iterable[str]) -> str:
    texts = [sanitise(name, limit=60) for name in names]
    omitted = len(texts) - _MAX_NAMES
    return ", ".join(texts[:_MAX_NAMES]) + (f" and {omitted:,} more" if omitted > 0 else "")
