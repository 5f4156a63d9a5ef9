"""Check result of each appliance, as a service for Checkmk, Icinga and Zabbix."""

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import pandas as pd

from backupkit.assessment import Assessment
from backupkit.display.format import (
    format_count,
    format_duration,
    format_exactly,
    format_timestamp,
    sanitise,
)
from backupkit.reports.monitoring import STATUSES, CheckResult, check_result, clean_line
from backupkit.reports.rows import Row, iterate_rows

__all__ = [
    "LOCAL",
    "ApplianceResult",
    "check_appliances",
    "format_checkmk",
    "format_checkmk_fleet",
    "list_discovered",
]

_CODES: Final[Mapping[str, int]] = {
    "compliant": 0,
    "excluded": 0,
    "breach": 2,
    "unknown": 3,
    "unobserved": 3,
}
_MAX_SENTENCE: Final = 500  # characters
_DIGEST_LENGTH: Final = 6
_NOT_IN_HOSTS: Final = re.compile(r"[^-0-9A-Za-z_.]")
"""Characters that the name of a host must not have in Checkmk."""
_FLEET_SERVICE: Final = "vCenter backups"
_SERVICE: Final = "vCenter backup"
LOCAL: Final = "<<<local:sep(0)>>>"
"""Head of a section of local checks of Checkmk."""


@dataclass(frozen=True, slots=True)
class ApplianceResult:
    """Check result of one appliance: 0 OK, 1 WARNING, 2 CRITICAL or 3 UNKNOWN, and the reason.

    `exposure`, `rpo` and `threshold` are durations [s], `last_success` is a time [UTC, ISO 8601].
    `exposure_at_least` is the lower bound of the exposure where no success is known [s]. What is
    not known is None.
    """

    appliance: str
    site: str | None
    group: str | None
    state: str
    code: int
    sentence: str
    exposure: float | None
    exposure_at_least: float | None
    rpo: float | None
    threshold: float | None
    strikes: int
    last_success: str | None

    @property
    def status(self) -> str:
        """Name of the code."""
        return STATUSES[self.code]

    def metrics(self) -> Iterator[tuple[str, str, str]]:
        """Yield label, unit, and ``value;warning;critical;min`` of each value that is known."""
        exposure = self.exposure_at_least if self.exposure is None else self.exposure
        if exposure is not None:
            limits = ("" if one is None else f"{one:.0f}" for one in (self.rpo, self.threshold))
            yield "exposure", "s", ";".join((f"{exposure:.0f}", *limits, "0"))
        yield "strikes", "", f"{self.strikes};;;0"

    @property
    def performance(self) -> str:
        """Performance data as plug-ins of Nagios and Icinga have them."""
        items = ((label, unit, *text.split(";", 1)) for label, unit, text in self.metrics())
        return " ".join(f"{label}={value}{unit};{rest}" for label, unit, value, rest in items)

    def to_json(self) -> dict[str, Any]:
        """Return the fields as JSON values, with `status` and `performance`."""
        names = ("appliance", "site", "group", "state", "status", "code", "sentence")
        durations = ("exposure", "exposure_at_least", "rpo", "threshold")
        others = ("strikes", "last_success", "performance")
        return {name: getattr(self, name) for name in (*names, *durations, *others)}


def check_appliances(assessment: Assessment) -> tuple[ApplianceResult, ...]:
    """Return the check result of each appliance, the worst first.

    CRITICAL in breach, UNKNOWN if it could not be read or was never read. WARNING if it is
    compliant and at risk (in its grace time, or with an open incident) or has jobs that could not
    be read. OK otherwise, also if it is excluded. The targets of the period count for the fleet
    only: a service would warn about a past failure for a whole month.

    Examples
    --------
    >>> from backupkit import evaluate_frames
    >>> from backupkit.policy import Member, Policy
    >>> from backupkit.tables import JOBS, POLLS, SCHEDULES
    >>> frames = JOBS.empty(), POLLS.empty(), SCHEDULES.empty()
    >>> policy = Policy(members=[Member(appliance="vc-1")])
    >>> end = "2026-11-09T00:00:00Z"
    >>> a = evaluate_frames(*frames, policy, start="2026-11-02T00:00:00Z", end=end, now=end)
    >>> [one] = check_appliances(a)
    >>> one.status, one.sentence, one.performance
    ('UNKNOWN', 'unknown: never polled', 'strikes=0;;;0')
    """
    rules = assessment.policy_until(assessment.end).rules(assessment.appliances.index)
    rows = assessment.appliances.join(rules["rpo"]).join(assessment.coverage["jobs_unread"])
    at_risk = set(assessment.at_risk)
    return tuple(_build_result(str(name), row, name in at_risk) for name, row in iterate_rows(rows))


def _build_result(name: str, row: Row, is_at_risk: bool) -> ApplianceResult:  # noqa: FBT001 # private
    state = row["state"]
    unread = 0 if pd.isna(row["jobs_unread"]) else int(row["jobs_unread"])
    code = 1 if state == "compliant" and (is_at_risk or unread) else _CODES[state]
    last = row["last_success"]
    return ApplianceResult(
        appliance=name,
        site=_to_text(row["site"]),
        group=_to_text(row["group"]),
        state=state,
        code=code,
        sentence=clean_line(_describe(row, unread))[:_MAX_SENTENCE],
        exposure=_to_seconds(row["exposure"]),
        exposure_at_least=_to_seconds(row["exposure_at_least"]),
        rpo=_to_seconds(row["rpo"]),
        threshold=_to_seconds(row["threshold"]),
        strikes=int(row["strikes"]),
        last_success=None if pd.isna(last) else last.isoformat(),
    )


def _describe(row: Row, unread: int) -> str:
    """Return the state of an appliance and why, in a sentence."""
    state = row["state"]
    if state != "compliant":
        reason = sanitise(row["reason"], limit=_MAX_SENTENCE)
        return f"{state}: {reason}" if reason else str(state)
    age, rpo = row["exposure"], row["rpo"]
    parts = [
        f"the newest recovery point is {format_duration(age)} old (RPO {format_exactly(rpo)})",
        *(["in its grace time"] if age > rpo else []),
    ]
    if pd.notna(row["incident_since"]):
        parts.append(f"incident open since {format_timestamp(row['incident_since'])} UTC")
    if unread:
        parts.append(f"{format_count(unread, 'job')} could not be read")
    return ", ".join(parts)


def _to_text(value: Any) -> str | None:  # noqa: ANN401 # text, or missing
    return None if pd.isna(value) else str(value)


def _to_seconds(value: Any) -> float | None:  # noqa: ANN401 # a duration, or missing
    return None if pd.isna(value) else float(value.total_seconds())


def format_checkmk(assessment: Assessment) -> str:
    """Return the fleet and each appliance as the output of an agent plug-in for Checkmk.

    The fleet is one service of the host on which the plug-in runs. Each appliance is one service of
    the host of its own name, by piggyback. In such a name each character other than letters,
    digits, ``-``, ``_`` and ``.`` becomes ``_``. Names that would be equal then get a suffix.

    References
    ----------
    .. [1] Local checks, https://docs.checkmk.com/latest/en/localchecks.html
    .. [2] Piggyback, https://docs.checkmk.com/latest/en/piggyback.html
    """
    results = check_appliances(assessment)
    fleet = check_result(assessment)
    lines = [LOCAL, format_checkmk_fleet(fleet)]
    for host, one in zip(_name_hosts(results), results, strict=True):
        values = "|".join(f"{label}={text}" for label, _, text in one.metrics())
        lines += [f"<<<<{host}>>>>", LOCAL]
        lines.append(f'{one.code} "{_SERVICE}" {values} {_escape_backslashes(one.sentence)}')
    return "\n".join([*lines, "<<<<>>>>"])


def format_checkmk_fleet(result: CheckResult) -> str:
    """Return a check result of the fleet as the line of a local check of Checkmk.

    Examples
    --------
    >>> format_checkmk_fleet(CheckResult(3, "the history is empty", ""))
    '3 "vCenter backups" - the history is empty'
    """
    items = (item.partition("=") for item in result.performance.split())
    known = {label: text for label, _, text in items if not text.startswith("U;")}
    # units and ranges such as "99:" are not part of the format
    plain = {label: re.sub(r"[%s]|[\d.]*:", "", text) for label, text in known.items()}
    values = "|".join(f"{label}={text.rstrip(';')}" for label, text in plain.items())
    sentence = _escape_backslashes(clean_line(result.sentence))
    return f'{result.code} "{_FLEET_SERVICE}" {values or "-"} {sentence}'


def _escape_backslashes(text: str) -> str:
    r"""Replace backslashes: Checkmk reads ``\n`` as the end of a line."""
    return text.replace("\\", "/")


def _name_hosts(results: Iterable[ApplianceResult]) -> Iterator[str]:
    """Yield the name of the host in Checkmk of each appliance; no two are equal."""
    names = [one.appliance for one in results]
    plain = [_NOT_IN_HOSTS.sub("_", name) for name in names]
    for name, host in zip(names, plain, strict=True):
        if host == name or plain.count(host) == 1:
            yield host
        else:
            yield f"{host}_{hashlib.sha256(name.encode()).hexdigest()[:_DIGEST_LENGTH]}"


def list_discovered(results: Iterable[ApplianceResult]) -> list[dict[str, Any]]:
    """Return the objects of a low-level discovery of Zabbix, with the values of each appliance.

    Each has the macros ``{#APPLIANCE}``, ``{#SITE}`` and ``{#GROUP}``, and the keys of
    `ApplianceResult.to_json`. A macro cannot be null: without a site it is empty. A value that is
    not known has no key, so that a dependent item can discard it.

    References
    ----------
    .. [1] https://www.zabbix.com/documentation/current/en/manual/discovery/low_level_discovery
    .. [2] https://www.zabbix.com/documentation/current/en/manual/config/macros/lld_macros

    Examples
    --------
    >>> one = ApplianceResult("vc-1", None, None, "unknown", 3, "x", *[None] * 4, 0, None)
    >>> sorted(list_discovered([one])[0])[-3:]
    ['{#APPLIANCE}', '{#GROUP}', '{#SITE}']
    """
    return [
        {
            "{#APPLIANCE}": one.appliance,
            "{#SITE}": one.site or "",
            "{#GROUP}": one.group or "",
            **{name: value for name, value in one.to_json().items() if value is not None},
        }
        for one in results
    ]
