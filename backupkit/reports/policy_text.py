"""Policy as the text of a fleet.toml that only assesses: without users and passwords."""

from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Final

import pandas as pd

from backupkit.inventory.fleet_text import quote
from backupkit.policy import PARAMETERS, Exclusion, Member, Policy
from backupkit.policy.values import TIME_OF_DAY, Plan

__all__ = ["format_policy"]

_UNITS: Final = (("d", timedelta(days=1)), ("h", timedelta(hours=1)), ("m", timedelta(minutes=1)))
_OF_REPORTS: Final = "report_timezone"
"""Parameter that only the table [policy] may set."""


def format_policy(policy: Policy) -> str:
    """Return the text of a fleet.toml that assesses as a policy does.

    Its appliances have the user "none", and a prompt as their password: it cannot poll. The
    fleet's own causes of failures are not in it.

    Parameters
    ----------
    policy : Policy
        The policy.

    Returns
    -------
    str
        TOML that `Policy.load` reads.

    Examples
    --------
    >>> text = format_policy(Policy(rpo="36h", grace="90m"))
    >>> [line for line in text.splitlines() if line.startswith(("rpo ", "grace "))]
    ['rpo = "1d12h"', 'grace = "1h30m"']
    """
    return "\n".join([*_list_lines(policy), ""])


def _list_lines(policy: Policy) -> Iterator[str]:
    yield "# Policy of an assessment: it holds no passwords, and polls nothing."
    yield "appliance = ["
    yield from (f"  {_format_member(member)}," for member in policy.members)
    yield "]"
    yield ""
    yield "[defaults]"
    yield 'user = "none" # an assessment reads the history alone'
    yield "password = { prompt = true }"
    yield ""
    yield "[policy]"
    yield from _list_parameters(policy, is_default=True)
    yield from _list_changes(policy.changes, "policy")
    for exclusion in policy.exclusions:
        yield from _list_exclusion(exclusion)
    for name, named in policy.named.items():
        yield ""
        yield f"[policy.{quote(name)}]"
        groups = [quote(group) for group, owner in policy.groups.items() if owner == name]
        yield f"groups = [{', '.join(groups)}]"
        yield from _list_parameters(named)
        yield from _list_changes(named.changes, f"policy.{quote(name)}")


def _list_parameters(policy: Policy, *, is_default: bool = False) -> Iterator[str]:
    for name, parameter in PARAMETERS.items():
        value = getattr(policy, name)
        if value is None or (name == _OF_REPORTS and not is_default):
            continue
        if parameter.kind is TIME_OF_DAY:
            yield f"{name} = {quote(TIME_OF_DAY.format(value))}"
        else:
            yield f"{name} = {_format_value(value)}"


def _format_value(value: object) -> str:
    match value:
        case timedelta():
            return quote(_format_duration(value))
        case bool():
            return str(value).lower()
        case int() | float():
            return repr(value)
        case tuple():
            return f"[{', '.join(quote(text) for text in value)}]"
        case Plan():
            clock, *days = str(value).split()
            return f"{{ time = {quote(clock)}, days = {_format_value(tuple(days))} }}"
        case _:
            return quote(str(value))


def _format_duration(span: timedelta) -> str:
    """Return a duration as fleet.toml has it.

    Examples
    --------
    >>> _format_duration(timedelta(hours=26)), _format_duration(timedelta(seconds=0.5))
    ('1d2h', '0.5s')
    """
    parts = []
    for unit, size in _UNITS:
        number, span = divmod(span, size)
        if number:
            parts.append(f"{number}{unit}")
    if span or not parts:
        parts.append(f"{span.total_seconds():.6f}".rstrip("0").rstrip(".") + "s")
    return "".join(parts)


def _list_changes(changes: Mapping[pd.Timestamp, Policy], table: str) -> Iterator[str]:
    for date, changed in changes.items():
        yield ""
        yield f"[[{table}.change]]"
        yield f"valid_from = {date.isoformat()}"
        yield from _list_parameters(changed)


def _list_exclusion(exclusion: Exclusion) -> Iterator[str]:
    yield ""
    yield "[[policy.exclude]]"
    yield f"reason = {quote(exclusion.reason)}"
    for name in ("start", "end"):
        time = getattr(exclusion, name)
        if time is not None:
            yield f"{name} = {time.isoformat()}"
    for name in ("appliances", "groups", "sites"):
        if names := sorted(getattr(exclusion, name)):
            yield f"{name} = {_format_value(tuple(names))}"


def _format_member(member: Member) -> str:
    entries = {"name": member.appliance, "host": member.host or member.appliance}
    for key in ("site", "group", "timezone", "exclude", "policy"):
        value = getattr(member, key)
        if value is not None:
            entries[key] = value
    return f"{{ {', '.join(f'{key} = {quote(value)}' for key, value in entries.items())} }}"
