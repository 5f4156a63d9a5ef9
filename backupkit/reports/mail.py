"""Mail of the report: verdict and worst appliances in its body, files attached."""

from collections.abc import Iterable, Sequence
from email.message import EmailMessage
from email.utils import format_datetime, make_msgid
from pathlib import Path
from typing import Final

import pandas as pd

from backupkit._version import __version__
from backupkit.assessment import Assessment, Comparison
from backupkit.display.format import Ratio
from backupkit.errors import OutputError
from backupkit.reports.incident_lines import list_incident_lines
from backupkit.reports.page import render
from backupkit.reports.summary import summarize
from backupkit.tables.notes import Note

__all__ = ["compose_mail", "format_subject"]

_MAX_WORST: Final = 25
_MAX_WORST_IN_TEXT: Final = 10
_MAX_UNREAD: Final = 10
_MAX_GROUPS: Final = 10
_MAX_SIGNATURES: Final = 5
_MAX_REASON_LENGTH: Final = 300  # characters of a reason
_BAR_WIDTH: Final = 20
_KINDS: Final = {
    ".html": "text/html",
    ".json": "application/json",
    ".csv": "text/csv",
    ".gz": "application/gzip",
    ".xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
}


def format_subject(assessment: Assessment) -> str:
    """Return the subject of the mail, with both verdicts first so that mails sort by them.

    Examples
    --------
    >>> from backupkit import evaluate_frames
    >>> from backupkit.policy import Member, Policy
    >>> from backupkit.tables import JOBS, POLLS, SCHEDULES
    >>> frames = JOBS.empty(), POLLS.empty(), SCHEDULES.empty()
    >>> policy = Policy(members=[Member(appliance="vc-1")])
    >>> end = "2026-11-09T00:00:00Z"
    >>> a = evaluate_frames(*frames, policy, start="2026-11-02T00:00:00Z", end=end, now=end)
    >>> format_subject(a)
    '[TARGET UNKNOWN | UNKNOWN 1] vCenter backups 2026-11-09 - 0/1 ok'
    """
    verdict = assessment.verdict
    unknown = verdict.unknown + verdict.unobserved
    if verdict.state == "compliant":
        tag = verdict.word
    else:
        counts = (("BREACH", verdict.breach), ("UNKNOWN", unknown))
        tag = " | ".join(f"{label} {count:,}" for label, count in counts if count) or "UNKNOWN"
    good = f"{verdict.compliant:,}/{verdict.in_scope + verdict.unobserved:,} ok"
    tag = f"{assessment.period_verdict.heading} | {tag}"
    if assessment.is_current:
        return f"[{tag}] vCenter backups {assessment.end:%Y-%m-%d} - {good}"
    return f"[{tag}] vCenter backups {assessment.period_name} - {good} at the end"


def compose_mail(
    assessment: Assessment,
    comparison: Comparison | None = None,
    *,
    attachments: Sequence[Path] = (),
    date: pd.Timestamp | None = None,
    aliased: bool = False,
    notes: Iterable[Note] = (),
) -> EmailMessage:
    """Compose the mail: a text part, an HTML part of less than 90 KiB, and the attached files.

    The date is the present by default. Sender and recipients are not set. `notes` are those of
    operators.

    Raises
    ------
    OutputError
        If an attachment cannot be read.
    """
    summary = summarize(assessment, comparison)
    values = {
        "s": summary,
        "action_items": summary.action_items.first(_MAX_WORST),
        "worst": summary.action_items.first(_MAX_WORST_IN_TEXT),
        "unread": summary.unread.first(_MAX_UNREAD),
        "groups": summary.groups.first(_MAX_GROUPS),
        "signatures": [
            (_format_bar(signature.share), signature)
            for signature in summary.signatures[:_MAX_SIGNATURES]
        ],
        "names": [path.name for path in attachments],
        "limit": _MAX_REASON_LENGTH,
        "aliased": aliased,
        "incidents": list_incident_lines(assessment, notes),
    }
    message = EmailMessage()
    message["Subject"] = format_subject(assessment)
    time = pd.Timestamp.now("UTC") if date is None else date
    message["Date"] = format_datetime(time.to_pydatetime())
    message["Message-ID"] = make_msgid(domain="backupkit.invalid")
    message["List-Id"] = "vCenter backup reports <reports.backupkit.invalid>"
    message["Auto-Submitted"] = "auto-generated"
    message["X-Mailer"] = f"backupkit {__version__}"
    message["X-Backupkit-State"] = assessment.verdict.state
    message["X-Backupkit-Period"] = assessment.period_verdict.state
    message.set_content(render("mail.txt", **values))
    message.add_alternative(render("mail.html", **values), subtype="html")
    for path in attachments:
        kind, _, detail = _KINDS.get(path.suffix, "application/octet-stream").partition("/")
        try:
            content = path.read_bytes()
        except OSError as error:
            raise OutputError(
                f"{path} cannot be attached: {error.strerror}. Write the report again."
            ) from error
        message.add_attachment(content, maintype=kind, subtype=detail, filename=path.name)
    return message


def _format_bar(share: Ratio) -> str:
    """Draw a share as a bar of characters, for mail readers without graphics.

    Examples
    --------
    >>> _format_bar(Ratio(1, 4)), _format_bar(Ratio(1, 1000))
    ('█████', '▏')
    """
    return "█" * round(_BAR_WIDTH * share.value) or "▏"
