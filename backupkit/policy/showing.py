"""Notebook view of a policy: its parameters, changes and exclusions."""

import hashlib
from typing import TYPE_CHECKING, Final

import pandas as pd
from markupsafe import Markup

from backupkit.display import container, key_value_table, table
from backupkit.policy.wording import words

if TYPE_CHECKING:
    from backupkit.policy.numbers import Policy
    from backupkit.policy.scope import Exclusion

__all__ = ["digest_of", "excluded_of", "html_of", "numbers_of", "others_of"]

_UNKNOWN: Final = {
    "strict": "not compliant",
    "evidence": "not compliant once the last recovery point is too old",
}


def html_of(policy: "Policy") -> Markup:
    """Render the parameters with their units, and the exclusions with their reasons.

    Parameters
    ----------
    policy : Policy
        The policy.

    Returns
    -------
    Markup
        HTML with all text escaped.
    """
    parts = [key_value_table(numbers_of(policy), caption="Policy")]
    if others := others_of(policy):
        parts.append(table({"Elsewhere": "", "Numbers": "text"}, others))
    if excluded := excluded_of(policy):
        columns = {"Excluded": "", "When (UTC)": "w", "Reason": "text"}
        parts.append(table(columns, excluded))
    return container(*parts)


def others_of(policy: "Policy") -> list[tuple[str, str]]:
    """Return the named policies and the changes, each as title and text.

    Parameters
    ----------
    policy : Policy
        The policy.

    Returns
    -------
    list of (str, str)
        Title and text, in order.
    """
    told = [(f"policy {name}", str(named)) for name, named in policy.named.items()]
    told += [(f"from {_day(when)}", str(changed)) for when, changed in policy.changes.items()]
    return told + [
        (f"policy {name} from {_day(when)}", str(changed))
        for name, named in policy.named.items()
        for when, changed in named.changes.items()
    ]


def excluded_of(policy: "Policy") -> list[tuple[str, str | None, str | None]]:
    """Return the exclusions as texts.

    Parameters
    ----------
    policy : Policy
        The policy.

    Returns
    -------
    list of (str, str or None, str or None)
        Appliances, time [UTC; None means always] and reason.
    """
    told: list[tuple[str, str | None, str | None]] = [
        (one.appliance, None, one.exclude) for one in policy.members if one.exclude is not None
    ]
    return told + [(_whom(one), _when(one), one.reason) for one in policy.exclusions]


def digest_of(policy: "Policy") -> str:
    """Return a fingerprint of a policy, so that two reports can be compared.

    Parameters
    ----------
    policy : Policy
        The policy.

    Returns
    -------
    str
        16 hexadecimal digits.

    Examples
    --------
    >>> from backupkit.policy import Policy
    >>> digest_of(Policy(rpo="24h")) == digest_of(Policy(rpo="24h")), digest_of(Policy(rpo="12h"))
    (True, '...')
    """
    said = [
        *numbers_of(policy).items(),
        *others_of(policy),
        *excluded_of(policy),
        *policy.groups.items(),
        *policy.members,
    ]
    return hashlib.sha256(repr(said).encode()).hexdigest()[:16]


def numbers_of(policy: "Policy") -> dict[str, str]:
    """Return the name and value of each parameter that applies.

    Parameters
    ----------
    policy : Policy
        The policy.

    Returns
    -------
    dict of str to str
        Value with unit by name, the most important first.
    """
    numbers = {
        "RPO": words(policy.rpo),
        "Grace": words(policy.grace),
        "In breach beyond": words(policy.threshold),
        "Recovery point": f"the job's {policy.anchor}",
        "A run may start": f"{words(policy.early)} early to {words(policy.late)} late",
        "A run must be done": "before the next one"
        if policy.completion is None
        else f"within {words(policy.completion)}",
        "Target": f"{policy.target:.6%}".rstrip("%").rstrip("0").rstrip(".") + " %",
        "An answer counts for": "the usual interval between answers"
        if policy.staleness is None
        else words(policy.staleness),
        "Unknown is": _UNKNOWN[policy.unknown_mode],
        "Looks back": words(policy.lookback),
        "A backup day begins at": f"{pd.Timestamp(0) + policy.backup_day:%H:%M}",
    }
    if policy.window is not None:
        early = words(policy.window_tolerance)
        numbers["Window"] = f"{policy.window}, up to {early} before it"
    if policy.duration_limit is not None:
        numbers["A run may take"] = words(policy.duration_limit)
    if policy.retention is not None:
        numbers["Backups to keep"] = f"at least {policy.retention}"
    if policy.parts is not None:
        numbers["Parts to save"] = ", ".join(policy.parts)
    if policy.schedule is not None:
        numbers["Schedule where none is told"] = str(policy.schedule)
    numbers["Appliances"] = f"{len(policy.members):,}" if policy.members else "all in the data"
    return numbers


def _whom(one: "Exclusion") -> str:
    named = sorted(one.appliances) + sorted(one.groups) + sorted(one.sites)
    return ", ".join(named) or "all"


def _when(one: "Exclusion") -> str | None:
    begin, end = one.start, one.end
    if begin is None:
        return None if end is None else f"until {_day(end)}"
    return f"from {_day(begin)}" + ("" if end is None else f" to {_day(end)}")


def _day(moment: pd.Timestamp) -> str:
    return f"{moment:%Y-%m-%d %H:%M}"
