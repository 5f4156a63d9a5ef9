"""Steps of ``backupkit run``: small functions, each with a result in one line."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, NamedTuple

import backupkit as bk
from backupkit.cli.commands.check import assess
from backupkit.cli.commands.collect import (
    collect_and_store,
    exit_code,
    format_summary,
    open_fleet_and_history,
)
from backupkit.cli.commands.discover import SOME_MISSING, format_missing
from backupkit.cli.commands.report import assess_earlier_period
from backupkit.cli.outputs import refuse_inputs
from backupkit.cli.run_settings import RunSettings
from backupkit.cli.selection import Selection
from backupkit.errors import BackupkitError, OutputError

if TYPE_CHECKING:
    from backupkit.assessment import Assessment
    from backupkit.settings import SettingsFile

__all__ = ["STEPS", "Result", "RunContext", "run_step"]

_log = logging.getLogger(__name__)

STEP_FAILED: Final = 1
MAIL_FAILED: Final = 6
STOPPED: Final = 130


class Result(NamedTuple):
    """Result of a step: a word, the reason in one line, and the exit code."""

    status: str
    text: str
    code: int = 0


@dataclass
class RunContext:
    """Input of all steps; history and report are read and built once, by the first step that asks.

    Attributes
    ----------
    file : SettingsFile
        The parsed fleet.toml.
    history : str
        File or URL of the history.
    selection : Selection
        Selected appliances.
    settings : RunSettings
        Table [run].
    saved : Path, optional
        Page of the report, once it is written.
    failed : list of str
        Steps that failed.
    """

    file: "SettingsFile"
    history: str
    selection: Selection
    settings: RunSettings
    saved: Path | None = None
    failed: list[str] = field(default_factory=list)

    @cached_property
    def assessment(self) -> "Assessment":
        """Assessment of the history, after the collection."""
        return assess(self.history, self.file, self.selection, last=self.settings.last)

    @cached_property
    def document(self) -> "bk.Report":
        """Report of the assessment, compared with the period before."""
        before = assess_earlier_period(
            "previous", self.assessment, self.history, self.file, self.selection
        )
        notes = bk.History(self.history, create=False).notes.read()
        return bk.report(self.assessment, before=before, notes=notes)

    @property
    def states(self) -> set[str]:
        """States of both verdicts, as --fail-on names them."""
        period = self.assessment.period_verdict.state.replace("unknown", "target-unknown")
        return {self.assessment.verdict.state, period}


Step = Callable[[RunContext], Result | None]
"""Function of a step; it returns None if fleet.toml does not ask for the step."""


def collect(context: RunContext) -> Result:
    """Poll the appliances, and store what is new."""
    fleet, store = open_fleet_and_history(context.file, context.history, context.selection)
    snapshot, added = collect_and_store(fleet, store, with_summary=False)
    code = STOPPED if snapshot.stopped else exit_code(snapshot)
    status = {0: "ok", STOPPED: "stopped"}.get(code, "incomplete")
    return Result(status, format_summary(snapshot, added), code)


def discover(context: RunContext) -> Result | None:
    """Compare fleet.toml with the nodes of the SSO domains, one login for each."""
    if not context.settings.discover:
        return None
    found = bk.discover(bk.Fleet.load(context.file))
    store = bk.History(context.history, create=False)
    store.domain_nodes.store(found.rows(datetime.now(UTC)))
    if found.missing:
        return Result("missing", format_missing(found), SOME_MISSING)
    if found.unread or found.unlisted:
        return Result("incomplete", format_missing(found), SOME_MISSING)
    return Result("ok", format_missing(found))


def report(context: RunContext) -> Result | None:
    """Write the report of the day, and remove those of old days."""
    folder = context.settings.report
    if folder is None:
        return None
    from backupkit.reports.daily import (  # noqa: PLC0415 # keeps --help fast
        create_folder,
        find_daily_path,
        remove_old_reports,
    )

    path = find_daily_path(folder, context.assessment)
    create_folder(folder)
    context.document.save(path)
    context.saved = path
    remove_old_reports(folder, context.settings.keep)
    return Result("ok", f"{path}: {context.assessment.heading}")


def metrics(context: RunContext) -> Result | None:
    """Write the metrics."""
    path = context.settings.metrics
    if path is None:
        return None
    from backupkit.reports.openmetrics import write_openmetrics  # noqa: PLC0415 # keeps --help fast

    refuse_inputs(path, (context.file.path, context.history), option="[run] metrics")
    return Result("ok", str(write_openmetrics(context.assessment, path)))


def mail(context: RunContext) -> Result | None:
    """Mail the report if a verdict asks for it; with a folder of reports, once a day."""
    wanted, folder = context.settings.mail, context.settings.report
    if not wanted:
        return None
    from backupkit.mail import MailServer  # noqa: PLC0415 # keeps --help fast
    from backupkit.reports.daily import (  # noqa: PLC0415 # keeps --help fast
        find_daily_path,
        is_mailed,
        mark_mailed,
    )
    from backupkit.tables.constants import WEEKDAYS  # noqa: PLC0415 # keeps --help fast

    if not context.states & wanted:
        return Result("skipped", f"no verdict is one of {', '.join(sorted(wanted))}")
    weekday = WEEKDAYS[context.assessment.now.tz_convert(context.assessment.timezone).weekday()]
    days = context.settings.mail_on
    if days and weekday not in days:
        return Result("skipped", f"mailed on {', '.join(sorted(days, key=WEEKDAYS.index)).lower()}")
    day = None if folder is None else find_daily_path(folder, context.assessment)
    if day is not None and is_mailed(day):
        return Result("skipped", "a report of this day was mailed already")
    server = MailServer.load(context.file)
    server.send(context.document.message(() if context.saved is None else (context.saved,)))
    sent = f"sent to {', '.join(server.to)}"
    try:
        if day is not None:
            mark_mailed(day)
    except OutputError as error:
        return Result("failed", f"{sent}, but this is not noted. {error}", STEP_FAILED)
    return Result("ok", sent)


def alerts(context: RunContext) -> Result | None:
    """Send what changed to the channels in [alert]."""
    if "alert" not in context.file.tables:
        return None
    from backupkit.alerts import AlertSettings, send_alerts  # noqa: PLC0415 # keeps --help fast

    settings = AlertSettings.load(context.file)
    if settings is None or not settings.channels:
        return None
    done = send_alerts(
        context.assessment,
        bk.History(context.history, create=False).alerts,
        settings,
        now=context.assessment.now.to_pydatetime(),
    )
    texts = [f"{name}: sent, {number:,} changed" for name, number in done.sent.items()]
    texts += [f"{name}: {error}" for name, error in done.errors.items()]
    text = " ".join("; ".join(texts).split()) or "nothing changed"
    return Result("ok", text) if done.ok else Result("failed", text, MAIL_FAILED)


def heartbeat(context: RunContext) -> Result | None:
    """Call the heartbeat in [alert], unless a step failed."""
    if "alert" not in context.file.tables:
        return None
    from backupkit.alerts import AlertSettings, ping_heartbeat  # noqa: PLC0415 # keeps --help fast

    settings = AlertSettings.load(context.file)
    if settings is None or settings.heartbeat is None:
        return None
    if context.failed:
        return Result("skipped", f"failed: {', '.join(context.failed)}")
    if error := ping_heartbeat(settings):
        return Result("failed", error, MAIL_FAILED)
    return Result("ok", "called")


STEPS: Final[Mapping[str, Step]] = MappingProxyType(
    {
        "collect": collect,
        "discover": discover,
        "report": report,
        "metrics": metrics,
        "mail": mail,
        "alerts": alerts,
        "heartbeat": heartbeat,
    }
)
"""The steps in their order; one that fails does not stop the next ones."""

_FAILED_CODES: Final = {"mail": MAIL_FAILED}


def run_step(name: str, context: RunContext) -> Result | None:
    """Run a step; an error becomes its result."""
    result = _try_step(name, context)
    if result is not None and result.status == "failed":
        context.failed.append(name)
    return result


def _try_step(name: str, context: RunContext) -> Result | None:
    code = _FAILED_CODES.get(name, STEP_FAILED)
    try:
        return STEPS[name](context)
    except BackupkitError as error:
        return Result("failed", " ".join(str(error).split()), code)
    except Exception as error:  # noqa: BLE001 # the next steps must run
        _log.info("Step %s", name, exc_info=True)
        text = f"{type(error).__name__}. This is a bug; backupkit -v run logs where it is."
        return Result("failed", text, code)
