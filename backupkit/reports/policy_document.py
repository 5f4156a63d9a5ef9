"""Policy as JSON: its parameters, members and exclusions."""

from dataclasses import asdict
from datetime import timedelta
from typing import Any

import pandas as pd

from backupkit.policy import PARAMETERS, Exclusion, Policy
from backupkit.policy.policy import digest_of

__all__ = ["policy_document"]


def policy_document(policy: Policy) -> dict[str, Any]:
    """Return a policy as a JSON-compatible document."""
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
        "appliances": [asdict(member) for member in policy.members],
        "exclusions": [_exclusion(exclusion) for exclusion in policy.exclusions],
    }


def _numbers(policy: Policy) -> dict[str, Any]:
    return {
        parameter.json_key: _to_json_value(getattr(policy, name))
        for name, parameter in PARAMETERS.items()
    }


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
