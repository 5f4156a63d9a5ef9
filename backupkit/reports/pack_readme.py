"""README of an evidence pack: plain steps for an auditor."""

from collections.abc import Mapping, Sequence
from typing import Any

from backupkit._version import __version__
from backupkit.assessment import Assessment
from backupkit.policy.policy import digest_of
from backupkit.reports.pack import NAMESPACE
from backupkit.reports.page import render
from backupkit.reports.summary import summarize

__all__ = ["render_readme"]


def render_readme(
    assessment: Assessment,
    ledger: Mapping[str, Any] | None,
    *,
    names: Sequence[str],
    aliased: bool,
    is_signed: bool,
) -> bytes:
    """Render the README: how to check the pack, what its figures mean, how to compute them again.

    Parameters
    ----------
    assessment : Assessment
        The assessment.
    ledger : mapping, optional
        Result of the verification of the history: head and problems.
    names : sequence of str
        The other files, without the checksums.
    aliased, is_signed : bool
        Whether names are replaced by aliases, and whether the pack has a signature.

    Returns
    -------
    bytes
        Text in UTF-8.
    """
    text = render(
        "pack.txt",
        s=summarize(assessment, anchors=False),
        ledger=ledger,
        names=names,
        aliased=aliased,
        is_signed=is_signed,
        namespace=NAMESPACE,
        version=__version__,
        policy_digest=digest_of(assessment.policy),
        start=assessment.start.isoformat(),
        end=assessment.end.isoformat(),
        now=assessment.now.isoformat(),
        is_selection=assessment.is_selection,
    )
    return text.rstrip().encode() + b"\n"
