"""Policy as JSON: its parameters, members and exclusions."""

from collections.abc import Mapping
from datetime import timedelta
from types import MappingProxyType
from typing import Any, Final

import pandas as pd

from backupkit.policy import Exclusion, Policy
from backupkit.policy.render import digest_of

__all__ = ["NUMBERS", "policy_document"]

NUMBERS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "rpo": "span",
        "grace": "span",
        "early": "span",
        "late": "span",
        "completion": "span or null",
        "anchor": "text",
        "target": "number",
        "staleness": "span or null",
        "unknown_mode": "text",
        "window": "text or null",
        "window_tolerance": "span",
        "duration_limit": "span or null",
        "lookback": "span",
        "backup_day": "span",
        "retention": "count or null",
        "parts": "texts or null",
        "schedule": "text or null",
    }
)
"""Type of each policy parameter; the JSON key of a span ends in ``_seconds``."""


def policy_document(policy: Policy) -> dict[str, Any]:
    """Return a policy as a JSON-compatible document.

    Parameters
    ----------
    policy : Policy
        SLA parameters.

    Returns
    -------
    dict
        Keys sentence, digest, numbers, changes, named, groups, appliances and exclusions; values
        of JSON types.
    """
    return {
        "sentence": str(policy),
        "digest": digest_of(policy),
        "numbers": _numbers(policy),
        "changes": _changes(policy),
        "named": [
            {"name": name, "numbers": _numbers(named), "changes": _changes(named)}
            for name, named in policy.named.items()
        ],
        "groups": [{"group": group, "policy": name} for group, name in policy.groups.items()],
        "appliances": [
            {
                name: getattr(member, name)
                for name in ("appliance", "host", "site", "group", "timezone", "exclude", "policy")
            }
            for member in policy.members
        ],
        "exclusions": [_exclusion(exclusion) for exclusion in policy.exclusions],
    }


def _numbers(policy: Policy) -> dict[str, Any]:
    return {_key(name): _to_json_value(getattr(policy, name)) for name in NUMBERS}


def _key(name: str) -> str:
    return f"{name}_seconds" if NUMBERS[name].startswith("span") else name


def _to_json_value(value: object) -> object:
    match value:
        case timedelta():
            return value.total_seconds()
        case tuple():
            return list(value)
        case None | int() | float():
            return value
        case _:
            return str(value)


def _changes(policy: Policy) -> list[dict[str, Any]]:
    return [
        {"valid_from": time.isoformat(), "numbers": _numbers(changed)}
        for time, changed in policy.changes.items()
    ]


def _exclusion(exclusion: Exclusion) -> dict[str, Any]:
    return {
        "reason": exclusion.reason,
        "start": _iso_time(exclusion.start),
        "end": _iso_time(exclusion.end),
        "appliances": sorted(exclusion.appliances),
        "groups": sorted(exclusion.groups),
        "sites": sorted(exclusion.sites),
    }


def _iso_time(time: pd.Timestamp | None) -> str | None:
    return None if time is None else time.isoformat()
