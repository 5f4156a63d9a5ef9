"""Redaction of an assessment: the same figures, with aliases instead of names."""

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache, partial
from typing import Any, Final
from urllib.parse import urlsplit

import pandas as pd

from backupkit.analysis import known_causes
from backupkit.analysis.failures import DIFFERENT_CAUSES, NO_ADVICE
from backupkit.assessment import Assessment
from backupkit.assessment.merged import FRAMES
from backupkit.policy import Exclusion, Member, Policy
from backupkit.reports.aliases import Aliases
from backupkit.tables.dtypes import MESSAGES, TEXTS
from backupkit.tables.incident_ids import format_incident_id, parse_incident_id

__all__ = ["NOT_SENSITIVE", "Redacted", "redact"]

NOT_SENSITIVE: Final = frozenset(
    {
        *("job_id", "message_id", "build", "builds", "version", "api"),
        *("timezone", "timezone_source", "days", "parts"),
        *("state", "outcome", "first_outcome", "last_outcome", "error", "kind", "severity"),
        *("property", "metric", "unit", "result", "target_state"),
    }
)
"""Text columns that hold no names: ids, versions, time zones, and fixed words."""

_LOCATIONS: Final = ("location", "target")
_ADVICE: Final = ("cause_name", "cause", "next_step", "source")


@dataclass(frozen=True, slots=True)
class Redacted:
    """Redacted assessment, and the original names by alias."""

    assessment: Assessment
    key: Mapping[str, str]


def redact(assessment: Assessment, *, secret: bytes) -> Redacted:
    """Replace names by stable aliases.

    The same secret gives the same aliases in any process. There are aliases for appliances, sites,
    groups, hosts, users, locations, schedules and policies; in texts also for addresses, paths and
    quoted text. Figures, times, job ids, builds, versions and time zones are kept, and so are
    ordinary words such as "backup".

    Examples
    --------
    >>> from backupkit import evaluate_frames
    >>> from backupkit.policy import Member, Policy
    >>> from backupkit.tables import JOBS, POLLS, SCHEDULES
    >>> frames = JOBS.empty(), POLLS.empty(), SCHEDULES.empty()
    >>> policy = Policy(members=[Member(appliance="vc-1")])
    >>> end = "2026-11-09T00:00:00Z"
    >>> a = evaluate_frames(*frames, policy, start="2026-11-02T00:00:00Z", end=end, now=end)
    >>> redact(a, secret=b"secret").assessment.appliances.index.to_list()
    ['appliance-scxejv73']
    """
    aliases = Aliases(secret, _collect_names(assessment))
    frames = {name: _redact_frame(getattr(assessment, name), aliases) for name in FRAMES}
    # figures and fixed words, which may be names elsewhere
    frames["verdicts"] = frames["verdicts"].assign(reason=assessment.verdicts["reason"])
    redacted = assessment.replaced(policy=_redact_policy(assessment.policy, aliases), **frames)
    return Redacted(redacted, aliases.key)


def _collect_names(assessment: Assessment) -> dict[str, set[str]]:
    """Return the known names by kind."""
    policy, rows = assessment.policy, assessment.appliances
    members, exclusions = policy.members, policy.exclusions
    locations: set[str] = set()
    for frame in (assessment.assessed_jobs, assessment.schedules):
        locations.update(frame["location"].dropna().unique())
    hosts, users = {member.host for member in members if member.host}, set()
    hosts |= set(assessment.inventory["host"].dropna())
    for host, user in map(_split_location, locations):
        hosts |= {host} if host else set()
        users |= {user} if user else set()
    return {
        "appliance": {
            *map(str, rows.index),
            *map(str, assessment.coverage.index),
            *(member.appliance for member in members),
            *(name for exclusion in exclusions for name in exclusion.appliances),
        },
        "host": {name.lower() for host in hosts for name in _list_host_names(host)},
        "site": {
            *rows["site"].dropna(),
            *(member.site for member in members if member.site),
            *(name for exclusion in exclusions for name in exclusion.sites),
        },
        "group": {
            *rows["group"].dropna(),
            *(member.group for member in members if member.group),
            *(name for exclusion in exclusions for name in exclusion.groups),
            *policy.groups,
        },
        "user": users,
        "cause": {cause.name for cause in policy.causes},
        "schedule": {
            *assessment.schedules["schedule"].dropna(),
            *assessment.slots["schedule"].dropna().unique(),
        },
    }


def _split_location(location: str) -> tuple[str | None, str | None]:
    """Return host and user of a location; None where missing."""
    try:
        parts = urlsplit(location)
    except ValueError:  # an appliance may report any text
        return None, None
    return parts.hostname, parts.username


def _list_host_names(host: str) -> Iterator[str]:
    """Yield a host's full name, its first label unless it has only letters, and its domain."""
    yield host
    label, _, domain = host.partition(".")
    if domain and not host.replace(".", "").isdigit():
        if not label.isalpha():
            yield label
        if "." in domain:
            yield domain


def _redact_frame(frame: pd.DataFrame, aliases: Aliases) -> pd.DataFrame:
    """Replace names in each column that may hold some."""
    flat = frame.reset_index() if frame.index.name is not None else frame
    columns = {str(name): _redact_column(flat, str(name), aliases) for name in flat}
    redacted = pd.DataFrame(columns, index=flat.index)
    return redacted if frame.index.name is None else redacted.set_index(frame.index.name)


def _redact_column(flat: pd.DataFrame, name: str, aliases: Aliases) -> pd.Series:
    column = flat[name]
    if column.dtype == MESSAGES:
        return _redact_messages(column, aliases)
    if column.dtype == TEXTS and name not in NOT_SENSITIVE:
        kind = {"targets": "target", "chain": "text"}.get(name, "appliance")
        redact_text = _choose_redactor(kind, aliases)
        lists = [
            [redact_text(text) for text in cell] if _is_list(cell) else None
            for cell in column.array
        ]
        return pd.Series(lists, column.index, TEXTS)
    if column.dtype != "str" or name in NOT_SENSITIVE:
        return column
    if "property" in flat and name in {"name", "value"}:
        return _redact_by_kind(flat["property"], column, aliases)
    return _map_unique(column, _choose_redactor(name, aliases))


def _choose_redactor(name: str, aliases: Aliases) -> Callable[[str], str]:
    """Return the function that redacts the texts of a column; free text by default."""
    if name == "host":
        return lambda text: aliases.name("host", text.lower())
    if name in {"appliance", "site", "group"}:
        return lambda text: aliases.name(name, text)
    if name == "incident":
        return lambda text: _redact_incident(text, aliases)
    if name in _LOCATIONS:
        return aliases.location
    if name in _ADVICE:
        redact_text = aliases.text if name != "cause_name" else partial(aliases.name, "cause")
        return lambda text: text if text in _known_advice() else redact_text(text)
    return aliases.schedule if name == "schedule" else aliases.text


def _redact_incident(text: str, aliases: Aliases) -> str:
    appliance, onset = parse_incident_id(text)
    return format_incident_id(aliases.name("appliance", appliance), onset)


@cache
def _known_advice() -> frozenset[str]:
    """Return the advice that backupkit brings; that of a fleet may have names."""
    causes = known_causes().causes
    known = {text for cause in causes for text in (cause.name, cause.cause, cause.next_step)}
    return frozenset({*known, *(cause.source for cause in causes), NO_ADVICE, DIFFERENT_CAUSES})


def _redact_by_kind(kinds: pd.Series, column: pd.Series, aliases: Aliases) -> pd.Series:
    """Redact values by the kind in another column; builds are kept."""
    redacted = column.copy()
    for kind in kinds.unique():
        if kind != "build":
            of_kind = (kinds == kind).to_numpy()
            redacted[of_kind] = _map_unique(column[of_kind], _choose_redactor(kind, aliases))
    return redacted


def _map_unique(column: pd.Series, redact_text: Callable[[str], str]) -> pd.Series:
    """Redact each distinct text once."""
    replacements = {text: redact_text(text) for text in column.dropna().unique()}
    return column.map(replacements).astype("str")


def _redact_messages(column: pd.Series, aliases: Aliases) -> pd.Series:
    cache: dict[Hashable, dict[str, Any]] = {}

    def redacted(message: Mapping[str, Any]) -> dict[str, Any]:
        texts = (message["id"], message["default_message"], message["localized"])
        key = (*texts, None if message["args"] is None else tuple(message["args"]))
        if key not in cache:
            cache[key] = aliases.message(message)
        return cache[key]

    cells = [
        [redacted(message) for message in cell] if _is_list(cell) else None for cell in column.array
    ]
    return pd.Series(cells, column.index, MESSAGES)


def _is_list(cell: object) -> bool:
    return isinstance(cell, list)


def _redact_policy(policy: Policy, aliases: Aliases) -> Policy:
    """Redact names and exclusion reasons of a policy; its parameters are kept."""
    policy_aliases = {name: aliases.name("policy", name) for name in policy.named}
    return replace(
        policy,
        members=tuple(_redact_member(member, policy_aliases, aliases) for member in policy.members),
        disabled=(),
        named={policy_aliases[name]: named for name, named in policy.named.items()},
        groups={
            aliases.name("group", group): policy_aliases[name]
            for group, name in policy.groups.items()
        },
        exclusions=tuple(_redact_exclusion(exclusion, aliases) for exclusion in policy.exclusions),
        causes=(),  # they may hold names, and the frames have what they say
    )


def _redact_member(member: Member, policy_aliases: Mapping[str, str], aliases: Aliases) -> Member:
    return replace(
        member,
        appliance=aliases.name("appliance", member.appliance),
        host=member.host and aliases.name("host", member.host.lower()),
        site=member.site and aliases.name("site", member.site),
        group=member.group and aliases.name("group", member.group),
        exclude=member.exclude and aliases.text(member.exclude),
        policy=member.policy and policy_aliases[member.policy],
    )


def _redact_exclusion(exclusion: Exclusion, aliases: Aliases) -> Exclusion:
    def redacted(kind: str, names: Iterable[str]) -> list[str]:
        return [aliases.name(kind, name) for name in sorted(names)]

    return Exclusion(
        reason=aliases.text(exclusion.reason),
        start=exclusion.start,
        end=exclusion.end,
        appliances=redacted("appliance", exclusion.appliances),
        groups=redacted("group", exclusion.groups),
        sites=redacted("site", exclusion.sites),
    )
