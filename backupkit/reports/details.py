"""View models of the detail sections of the page."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from backupkit.assessment import Assessment
from backupkit.display.format import sanitise
from backupkit.policy.policy import other_policies, parameter_texts
from backupkit.policy.scope import exclusion_rows
from backupkit.reports.days import matrix, trend_of
from backupkit.reports.facts import Details, Link, LintFinding
from backupkit.reports.load import load_of
from backupkit.reports.rows import appliance_facts, sources
from backupkit.reports.sizes import sizes_of
from backupkit.reports.summary import figures_of, links_of

__all__ = ["details_of"]

_NAMES: Final = 5
_LINT: Final = 50
_OTHER_FIGURES: Mapping[str, str] = MappingProxyType(
    {
        "rpo_strict_macro": "time inside the RPO, strict, mean of the appliances",
        "rpo_observed_micro": "time inside the RPO, observed",
        "rpo_observed_macro": "time inside the RPO, observed, mean of the appliances",
        "slot_strict_macro": "expected runs done, strict, mean of the appliances",
        "slot_observed_micro": "expected runs done, observed",
        "slot_observed_macro": "expected runs done, observed, mean of the appliances",
        "attempts_micro": "runs that succeeded (a diagnostic, not the SLA)",
        "attempts_macro": "runs that succeeded, mean of the appliances",
        "coverage_time": "in-scope time that was observed",
    }
)


def details_of(assessment: Assessment) -> Details:
    """Return the detail sections of the page.

    Parameters
    ----------
    assessment : Assessment
        Assessment of one period.

    Returns
    -------
    Details
        Texts and figures.
    """
    links = links_of(assessment)
    data_sources, omitted_sources = sources(assessment, links)
    findings = _configuration_findings(assessment, links)
    policy = assessment.policy
    return Details(
        trend=trend_of(assessment),
        matrix=matrix(assessment, links),
        load=load_of(assessment, links),
        sizes=sizes_of(assessment, links),
        lint=findings[:_LINT],
        lint_omitted=max(len(findings) - _LINT, 0),
        lint_checked=assessment.verdict.in_scope + assessment.verdict.unobserved,
        appliances=appliance_facts(assessment, links),
        sources=data_sources,
        sources_omitted=omitted_sources,
        other_figures=figures_of(assessment.fleet, _OTHER_FIGURES),
        policy=tuple(parameter_texts(policy).items()),
        policies=tuple(
            (sanitise(name, limit=80), numbers) for name, numbers in other_policies(policy)
        ),
        windows=tuple(
            (sanitise(scope, limit=400), period or "always", sanitise(reason, limit=400))
            for scope, period, reason in exclusion_rows(policy.members, policy.exclusions)
        ),
        reproduce_command=(
            f"backupkit report --as-of {assessment.now.isoformat()} "
            f"--start {assessment.start.isoformat()} --end {assessment.end.isoformat()}"
        ),
    )


def _configuration_findings(
    assessment: Assessment, links: Mapping[str, Link]
) -> tuple[LintFinding, ...]:
    """Group findings by severity and rule; the text is that of the first one."""
    findings = []
    for (severity, rule), rows in assessment.lint.groupby(["severity", "rule"], sort=False):
        names = tuple(links[name] for name in rows["appliance"][:_NAMES] if name in links)
        findings.append(
            LintFinding(
                severity=str(severity),
                rule=str(rule),
                finding=sanitise(rows["finding"].iloc[0], limit=400),
                advice=sanitise(rows["advice"].iloc[0], limit=400),
                count=len(rows),
                names=names,
                omitted=len(rows) - len(names),
            )
        )
    return tuple(findings)
