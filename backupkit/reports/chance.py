"""Sentences about what failing appliances share, and about what no test can tell."""

from typing import Final

import pandas as pd

from backupkit.analysis.exact_tests import FALSE_DISCOVERY_RATE
from backupkit.display.format import format_count, sanitise

__all__ = ["describe_shared_values"]

_MAX_FINDINGS: Final = 5
_PLURALS: Final = {"target": "targets", "build": "builds", "site": "sites", "group": "groups"}


def describe_shared_values(clusters: pd.DataFrame, tests: pd.DataFrame) -> tuple[str, ...]:
    """Return the findings as sentences, what was tested, and where no test can tell.

    Parameters
    ----------
    clusters, tests : DataFrame
        Of `backupkit.tables.CLUSTERS` and ``CLUSTER_TESTS``.

    Returns
    -------
    tuple of str
        Cleaned sentences; none if no failure occurred on two appliances.
    """
    if tests.empty:
        return ()
    rows = clusters.head(_MAX_FINDINGS)
    findings = [
        f"“{sanitise(signature, limit=200)}”: {sanitise(finding, limit=400)}."
        for signature, finding in zip(rows["signature"], rows["finding"], strict=True)
    ]
    if len(clusters) > len(rows):
        findings.append(
            f"{format_count(len(clusters) - len(rows), 'further finding')} in the data."
        )
    return (*findings, *_describe_questions(clusters, tests), *_describe_limits(tests))


def _describe_questions(clusters: pd.DataFrame, tests: pd.DataFrame) -> list[str]:
    """Describe how many questions were asked, and how often a finding is chance."""
    asked = int(tests["asked"].sum())
    if not asked:
        return []
    questions = format_count(asked, "question")
    if clusters.empty:
        text = (
            "No target, build, site or group is shared more often than chance explains "
            f"({questions} asked)."
        )
        return [text]
    text = (
        f"{questions} asked: does a target, build, site or group occur more often among the "
        "appliances with an error pattern than by chance? p is the chance of as many by accident "
        "(exact test). q takes all questions into account: of the findings with q up to "
        f"{FALSE_DISCOVERY_RATE:g}, at most 1 in {1 / FALSE_DISCOVERY_RATE:.0f} is expected to be "
        "an accident."
    )
    return [text]


def _describe_limits(tests: pd.DataFrame) -> list[str]:
    """Describe the error patterns for which no test can tell."""
    tellable = tests.groupby("signature", sort=False)["asked"].sum() > 0
    unclear = tests[~tests["signature"].map(tellable).astype("bool")]
    if unclear.empty:
        return []
    first = unclear.iloc[0]
    number = unclear["signature"].nunique()
    text = (
        f"For {format_count(number, 'error pattern')} no test can tell whether the appliances "
        "share something or not: there are too few of them, or too many with the same value. "
        f"Example: “{sanitise(first['signature'], limit=120)}”, {first['affected']} of "
        f"{format_count(first['compared'], 'appliance')} on {first['value_count']} "
        f"{_PLURALS[first['property']] if first['value_count'] > 1 else first['property']}."
    )
    return [text]
