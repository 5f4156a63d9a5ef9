"""Summary sections of the report: verdict, action items, failure causes and changes."""

import platform
from collections.abc import Hashable, Mapping
from typing import Any, Final

import pandas as pd
from pandas.api.typing import NaTType

from backupkit._version import __version__
from backupkit.assessment import (
    CHANGE_KINDS,
    Assessment,
    Comparison,
    describe_causes,
    describe_inventory,
    find_coming_breach,
)
from backupkit.assessment.periods import describe_period
from backupkit.assessment.result import HEAD_FIGURES
from backupkit.assessment.verdict import build_ratio
from backupkit.display import Rows, state_badge, target_badge
from backupkit.display.format import (
    STATE_LABELS,
    Ratio,
    format_timestamp,
    sanitise,
)
from backupkit.reports import advice
from backupkit.reports.attention import describe_coming_breaches, list_action_items
from backupkit.reports.chance import describe_shared_values
from backupkit.reports.facts import (
    Advice,
    Aged,
    Change,
    ChangeGroup,
    Changes,
    Count,
    DomainNode,
    Example,
    Exclusion,
    Figure,
    GroupVerdict,
    Link,
    Named,
    Signature,
    Summary,
    UnreadAppliance,
)
from backupkit.reports.levels import format_budget
from backupkit.reports.period import PERIOD_OVER, is_over
from backupkit.reports.rows import Row, iterate_rows
from backupkit.tables import TARGET_STATES

__all__ = ["build_changes", "build_figures", "build_links", "summarize"]

_MAX_UNREAD: Final = 100
_MAX_NODES: Final = 100
_RESULT_LABELS: Final = {
    "missing": "not in fleet.toml",
    "unlisted": "in no SSO domain",
    "unknown": "SSO domain unknown",
}
_MAX_SIGNATURES: Final = 25
_MAX_NAMES: Final = 5
_MAX_ORIGINS: Final = 3  # builds, and targets
_MAX_NEVER: Final = 25
_MAX_GROUPS: Final = 100
_MAX_CHANGES: Final = 25  # of each kind
_HEAD_DIGITS: Final = 64  # of a SHA-256


def summarize(
    assessment: Assessment, comparison: Comparison | None = None, *, anchors: bool = True
) -> Summary:
    """Return the summary sections; without `anchors`, names of appliances are no links."""
    links = build_links(assessment, anchors=anchors)
    never = assessment.never_backed_up
    coming = find_coming_breach(assessment)
    return Summary(
        title=f"{assessment.heading} - vCenter backups - {assessment.period_name}",
        heading=assessment.heading,
        tone=assessment.tone,
        period_sentence=assessment.period_verdict.sentence,
        moment=assessment.moment,
        sentence=assessment.verdict.sentence,
        never_backed_up=Named(len(never), tuple(links[name] for name in never[:_MAX_NEVER])),
        coming=describe_coming_breaches(coming, assessment.end),
        causes=describe_causes(
            assessment.failures, appliances=assessment.failure_counts["appliance"].nunique()
        ),
        inventory=describe_inventory(assessment.inventory, assessment.now),
        domain_nodes=_list_domain_nodes(assessment),
        groups=_list_group_verdicts(assessment),
        period=assessment.period_name,
        ages_as_of=assessment.end,
        generated=assessment.now,
        newest_data=_describe_newest_data(assessment.coverage["last_poll"].max()),
        data_version=assessment.version,
        verify_command=_format_verify_command(assessment.version),
        policy=str(assessment.policy),
        counts=_count_states(assessment, links),
        changes=None
        if comparison is None
        else build_changes(comparison, links, timezone=assessment.timezone),
        figures=build_figures(assessment, HEAD_FIGURES),
        next_steps_note=PERIOD_OVER if is_over(assessment) else "",
        action_items=list_action_items(assessment, links, coming),
        unread=_list_unread(assessment, links),
        finding=_describe_top_signature(assessment.failures),
        failed_jobs=int(assessment.failures["jobs"].sum()),
        signatures=_list_signatures(assessment.failures, links),
        shared=describe_shared_values(assessment.clusters, assessment.cluster_tests),
        exclusions=_list_exclusions(assessment.appliances, links),
        versions=(
            f"backupkit {__version__}, pandas {pd.__version__}, Python {platform.python_version()}"
        ),
    )


def build_links(assessment: Assessment, *, anchors: bool = True) -> dict[str, Link]:
    """Return the link to each appliance's row, by name. The anchors do not contain the name."""
    return {
        str(name): Link(sanitise(name, limit=80), f"a{index}" if anchors else "")
        for index, name in enumerate(assessment.appliances.index)
    }


def build_figures(assessment: Assessment, names: Mapping[str, str]) -> tuple[Figure, ...]:
    """Return figures of the fleet, whose names are given by metric, in the order of `names`."""
    return tuple(Figure(name, assessment.ratio(metric)) for metric, name in names.items())


def _describe_newest_data(last_poll: pd.Timestamp | NaTType) -> str:
    """Return until when the appliances were polled in the period."""
    if pd.isna(last_poll):
        return "no poll in the period"
    return f"data up to {format_timestamp(last_poll, 'UTC')}"


def _list_group_verdicts(assessment: Assessment) -> Rows[GroupVerdict]:
    """Return the verdicts on sites and groups, the worst first."""
    verdicts = assessment.verdicts[assessment.verdicts["property"] != "fleet"]
    order = verdicts.apply(_rank_severity, axis="columns").astype("int64")
    figures = {
        key: rows.set_index("metric").to_dict("index")
        for key, rows in assessment.groups.groupby(["property", "name"])
    }
    rows = verdicts.iloc[order.argsort(kind="stable")].head(_MAX_GROUPS).to_dict("records")
    items = (
        GroupVerdict(
            name=f"{row['property']} {sanitise(row['name'], limit=80)}",
            target=target_badge(row["target_state"]),
            state=state_badge(row["state"]),
            in_scope=_build_group_ratio(figures, row, "appliances_strict"),
            rpo=_build_group_ratio(figures, row, "rpo_strict_micro"),
            slots=_build_group_ratio(figures, row, "slot_strict_micro"),
            budget_spent=format_budget(_build_group_ratio(figures, row, "error_budget")),
            appliances=_build_group_ratio(figures, row, "appliances_target"),
        )
        for row in rows
    )
    return Rows(items, len(verdicts))


def _rank_severity(row: pd.Series) -> int:
    """Return the rank of the worse of both verdicts, then of the other; 0 is the worst."""
    ranks = sorted(
        words.index(state) if (state := row[name]) in words else len(words)
        for name, words in (
            ("target_state", TARGET_STATES),
            ("state", ("breach", "unknown", "compliant")),
        )
    )
    return ranks[0] * 10 + ranks[1]


def _build_group_ratio(
    figures: Mapping[tuple[Hashable, ...], Mapping[Hashable, Mapping[Hashable, Any]]],
    row: Mapping[Hashable, Any],
    metric: str,
) -> Ratio:
    own = figures.get((row["property"], row["name"]))
    return Ratio(0, 0) if own is None else build_ratio(own[metric])


def _format_verify_command(version: str) -> str:
    """Return the command that verifies that a history still contains the assessed data."""
    if len(version) != _HEAD_DIGITS:  # assessed from frames or an empty history
        return ""
    return f"backupkit history verify --history HISTORY --head {version}"


def _count_states(assessment: Assessment, links: Mapping[str, Link]) -> tuple[Count, ...]:
    """Count the appliances of each state that occurs, in the order of the rows."""
    states = assessment.appliances["state"]
    counts = states.value_counts(sort=False)
    firsts = {state: str(name) for name, state in states[::-1].items()}
    return tuple(
        Count(state_badge(state), int(counts[state]), links[firsts[state]].anchor)
        for state in states.unique()
    )


def _list_unread(assessment: Assessment, links: Mapping[str, Link]) -> Rows[UnreadAppliance]:
    rows = assessment.appliances
    basis = assessment.coverage.reindex(rows.index)
    in_part = basis["jobs_unread"].gt(0).fillna(value=False) | basis["schedules_error"].notna()
    in_scope = rows["state"] != "excluded"
    selected = rows[rows["state"].isin(["unknown", "unobserved"]) | (in_part & in_scope)]
    listed_rows = selected.head(_MAX_UNREAD)
    coverage_rows = assessment.coverage.reindex(listed_rows.index)
    pairs = zip(iterate_rows(listed_rows), iterate_rows(coverage_rows), strict=True)
    first_names: dict[str, str] = {}
    items = (
        UnreadAppliance(
            appliance=links[str(name)],
            state=state_badge(row["state"]),
            error=sanitise(coverage["error"], limit=80)
            or advice.describe_missing_data(coverage, assessment.end),
            failing_since=coverage["failing_since"],
            last_ok=Aged(coverage["last_ok"], assessment.end),
            detail=next(
                text
                for column in (coverage["detail"], coverage["schedules_error"], row["reason"], "")
                if (text := sanitise(column, limit=600)) or column == ""
            ),
            advice=""
            if is_over(assessment)
            else advice.shorten_repeated(
                advice.advise_unread(coverage, assessment.end),
                "",
                links[str(name)].name,
                first_names,
            ),
        )
        for (name, row), (_, coverage) in pairs
    )
    return Rows(items, len(selected))


def _list_domain_nodes(assessment: Assessment) -> Rows[DomainNode]:
    """Return what fleet.toml and the SSO domains do not have in common."""
    rows = assessment.inventory
    rows = rows[rows["result"].isin([*_RESULT_LABELS])]
    items = (
        DomainNode(
            host=sanitise(row["host"], limit=120),
            appliance=sanitise(row["appliance"], limit=80),
            result=_RESULT_LABELS[row["result"]],
            read=Aged(row["seen_at"], assessment.now),
            reason=sanitise(row["reason"], limit=300),
        )
        for _, row in iterate_rows(rows.head(_MAX_NODES))
    )
    return Rows(items, len(rows))


def _describe_top_signature(failures: pd.DataFrame) -> str:
    """Return a sentence about the most frequent failure signature."""
    if failures.empty:
        return "No backup job failed in this period."
    top = failures.sort_values("jobs", ascending=False, kind="stable").iloc[0]
    share = Ratio(top["jobs"], failures["jobs"].sum(), "failed jobs")
    return f"Most frequent: “{sanitise(top['signature'], limit=120)}”, {share}."


def _list_signatures(failures: pd.DataFrame, links: Mapping[str, Link]) -> Rows[Signature]:
    ranked = failures.sort_values("jobs", ascending=False, kind="stable")
    total = ranked["jobs"].sum()
    signatures = []
    for _, row in iterate_rows(ranked.head(_MAX_SIGNATURES)):
        names = tuple(
            links[name] for name in _join_texts(row["names"])[:_MAX_NAMES] if name in links
        )
        origin = (
            sanitise(_join_first(_join_texts(row[column])), limit=300)
            for column in ("builds", "targets")
        )
        signatures.append(
            Signature(
                example=Example(
                    sanitise(row["signature"], limit=600),
                    _format_chain(row) or "The job has no message.",
                    sanitise(row["message_id"], limit=200),
                ),
                share=Ratio(row["jobs"], total),
                advice=Advice(
                    *(sanitise(row[name], limit=400) for name in ("cause", "next_step", "source"))
                ),
                appliances=Named(int(row["appliances"]), names),
                first_seen=row["first_seen"],
                last_seen=row["last_seen"],
                origin="; ".join(text for text in origin if text),
            )
        )
    return Rows(signatures, len(ranked))


def _format_chain(failure: Row) -> str:
    """Return all messages of the newest job of a signature, the most general first."""
    chain = _join_texts(failure["chain"])
    return "\n".join(sanitise(text) for text in chain) or sanitise(failure["text"])


def _join_texts(value: object) -> list[str]:
    # a missing list is NA; other cells are lists or arrays of texts
    return [] if value is None or value is pd.NA else [str(text) for text in value]  # type: ignore[attr-defined] # a cell of an Arrow list column has no type of its own


def _join_first(texts: list[str]) -> str:
    more = f" and {len(texts) - _MAX_ORIGINS:,} more" if len(texts) > _MAX_ORIGINS else ""
    return ", ".join(texts[:_MAX_ORIGINS]) + more


def _list_exclusions(appliances: pd.DataFrame, links: Mapping[str, Link]) -> tuple[Exclusion, ...]:
    excluded = appliances.loc[appliances["state"] == "excluded", "reason"]
    return tuple(
        Exclusion(links[str(name)], sanitise(reason) or "no reason given")
        for name, reason in excluded.items()
    )


def build_changes(comparison: Comparison, links: Mapping[str, Link], *, timezone: str) -> Changes:
    """Return the changes since an earlier report by kind, the worst first."""
    groups = []
    for kind in CHANGE_KINDS:
        rows = comparison.changes[comparison.changes["kind"] == kind]
        if len(rows):
            changes = (
                _build_change(row, links) for _, row in iterate_rows(rows.head(_MAX_CHANGES))
            )
            groups.append(ChangeGroup(kind, Rows(changes, len(rows))))
    return Changes(
        against=f"the report as of {format_timestamp(comparison.now, 'UTC')} on "
        f"{describe_period(comparison.start, comparison.end, timezone)}",
        since=comparison.end,
        sentence=comparison.sentence,
        groups=tuple(groups),
        warnings=comparison.warning_sentence,
        is_empty=comparison.is_empty,
    )


def _build_change(row: Row, links: Mapping[str, Link]) -> Change:
    name = row["appliance"]
    if pd.isna(name):
        subject: Link | str = sanitise(row["signature"], limit=400) or "(no message)"
    else:
        subject = links.get(name) or sanitise(name, limit=80)
    return Change(
        subject,
        was=STATE_LABELS.get(row["state_before"], ""),
        now=STATE_LABELS.get(row["state_after"], ""),
        detail=sanitise(row["detail"], limit=400),
    )
