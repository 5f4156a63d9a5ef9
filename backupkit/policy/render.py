"""Notebook view of a policy: its parameters, changes and exclusions."""

import hashlib
from typing import TYPE_CHECKING, Final

import pandas as pd
from markupsafe import Markup

from backupkit.display import container, key_value_table, table
from backupkit.display.format import format_exact_duration

if TYPE_CHECKING:
    from backupkit.policy.policy import Policy
    from backupkit.policy.scope import Exclusion

__all__ = ["digest_of", "exclusion_rows", "html_of", "others_of", "parameter_texts"]

_UNKNOWN_TEXT: Final = {
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
    parts = [key_value_table(parameter_texts(policy), caption="Policy")]
    if others := others_of(policy):
        parts.append(table({"Elsewhere": "", "Numbers": "text"}, others))
    if exclusions := exclusion_rows(policy):
        columns = {"Excluded": "", "When (UTC)": "w", "Reason": "text"}
        parts.append(table(columns, exclusions))
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
    rows = [(f"policy {name}", str(named)) for name, named in policy.named.items()]
    rows += [(f"from {_format_time(date)}", str(change)) for date, change in policy.changes.items()]
    return rows + [
        (f"policy {name} from {_format_time(date)}", str(change))
        for name, named in policy.named.items()
        for date, change in named.changes.items()
    ]


def exclusion_rows(policy: "Policy") -> list[tuple[str, str | None, str | None]]:
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
    rows: list[tuple[str, str | None, str | None]] = [
        (item.appliance, None, item.exclude) for item in policy.members if item.exclude is not None
    ]
    return rows + [(_scope_text(item), _time_text(item), item.reason) for item in policy.exclusions]


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
    content = [
        *parameter_texts(policy).items(),
        *others_of(policy),
        *exclusion_rows(policy),
        *policy.groups.items(),
        *policy.members,
    ]
    return hashlib.sha256(repr(content).encode()).hexdigest()[:16]


def parameter_texts(policy: "Policy") -> dict[str, str]:
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
    early, late = format_exact_duration(policy.early), format_exact_duration(policy.late)
    texts = {
        "RPO": format_exact_duration(policy.rpo),
        "Grace": format_exact_duration(policy.grace),
        "In breach beyond": format_exact_duration(policy.threshold),
        "Recovery point": f"the job's {policy.anchor}",
        "A run may start": f"{early} early to {late} late",
        "A run must be done": "before the next one"
        if policy.completion is None
        else f"within {format_exact_duration(policy.completion)}",
        "Target": f"{policy.target:.6%}".rstrip("%").rstrip("0").rstrip(".") + " %",
        "Data valid for": "the usual interval between polls"
        if policy.staleness is None
        else format_exact_duration(policy.staleness),
        "Unknown is": _UNKNOWN_TEXT[policy.unknown_mode],
        "Looks back": format_exact_duration(policy.lookback),
        "A backup day begins at": f"{pd.Timestamp(0) + policy.backup_day:%H:%M}",
    }
    if policy.window is not None:
        tolerance = format_exact_duration(policy.window_tolerance)
        texts["Window"] = f"{policy.window}, up to {tolerance} before it"
    if policy.duration_limit is not None:
        texts["A run may take"] = format_exact_duration(policy.duration_limit)
    if policy.retention is not None:
        texts["Backups to keep"] = f"at least {policy.retention}"
    if policy.parts is not None:
        texts["Parts to save"] = ", ".join(policy.parts)
    if policy.schedule is not None:
        texts["Schedule if none is reported"] = str(policy.schedule)
    texts["Appliances"] = f"{len(policy.members):,}" if policy.members else "all in the data"
    return texts


def _scope_text(exclusion: "Exclusion") -> str:
    names = sorted(exclusion.appliances) + sorted(exclusion.groups) + sorted(exclusion.sites)
    return ", ".join(names) or "all"


def _time_text(exclusion: "Exclusion") -> str | None:
    start, end = exclusion.start, exclusion.end
    if start is None:
        return None if end is None else f"until {_format_time(end)}"
    return f"from {_format_time(start)}" + ("" if end is None else f" to {_format_time(end)}")


def _format_time(moment: pd.Timestamp) -> str:
    return f"{moment:%Y-%m-%d %H:%M}"
