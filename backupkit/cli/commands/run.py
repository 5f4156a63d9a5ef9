"""Command ``backupkit run``: a collection, and then whatever [run] of fleet.toml asks for."""

from typing import Annotated, Final

import typer

import backupkit as bk
from backupkit.cli.commands.collect import interrupt_on_sigterm, lock_history
from backupkit.cli.commands.report import VERDICT_EXIT_CODE, parse_states_option
from backupkit.cli.commands.steps import STEPS, STOPPED, RunContext, run_step
from backupkit.cli.options import (
    FLEET,
    HISTORY,
    WAIT,
    ApplianceOption,
    FleetOption,
    GroupOption,
    HistoryOption,
    SiteOption,
    WaitOption,
    echo,
)
from backupkit.cli.run_settings import RunSettings
from backupkit.cli.selection import Selection
from backupkit.errors import BackupkitError

__all__ = ["run"]

_BY_SEVERITY: Final = (STOPPED, 1, 4, 6, VERDICT_EXIT_CODE, 3, 0)
"""Exit codes, the worst first."""


def run(
    fleet: FleetOption = FLEET,
    history: HistoryOption = HISTORY,
    *,
    appliance: ApplianceOption = None,
    group: GroupOption = None,
    site: SiteOption = None,
    fail_on: Annotated[
        str,
        typer.Option(
            metavar="STATES",
            help="Exit with 5 if a verdict is one of these, such as missed,breach,unknown.",
        ),
    ] = "",
    wait: WaitOption = WAIT,
) -> int:
    """Collect, then do what [run] and [alert] of fleet.toml ask for: report, metrics, mail, alerts.

    All steps run, whatever the collection brought and even if one fails. Each prints one line.
    Keys of [run]: discover = true also compares fleet.toml with the SSO domains; report = folder
    with a report for each day; keep = days whose reports stay; last = period; metrics = file of the
    node exporter; mail = states of a verdict for which the report is mailed, or always. [alert] has
    the channels that get what changed (docs/alerts.md), and a heartbeat, which is called at the end
    unless a step failed.

    Exit code, the first that applies: 130 stopped with Ctrl-C, 1 a step failed, 4 no appliance was
    read, 6 the mail or an alert was not sent, 5 a verdict is one of --fail-on, 3 some appliances
    were not read, or fleet.toml lacks some of their SSO domains, 0 all done. 7 another run works
    with the history, and nothing was done.
    """
    from backupkit.settings import read_toml  # noqa: PLC0415 # keeps --help fast

    fail_states = parse_states_option(fail_on, option="--fail-on")
    file = read_toml(fleet)
    context = RunContext(file, history, Selection(appliance, group, site), RunSettings.load(file))
    with interrupt_on_sigterm(), lock_history(bk.History(history), wait):
        codes = _run_steps(context)
    if fail_states and STOPPED not in codes:
        codes.add(_judge(context, fail_states))
    return next(code for code in _BY_SEVERITY if code in codes)


def _run_steps(context: RunContext) -> set[int]:
    """Run all steps, print a line for each, and return their exit codes."""
    codes = set()
    for name in STEPS:
        result = run_step(name, context)
        if result is None:
            continue
        echo(f"{name}: {result.status}: {result.text}")
        codes.add(result.code)
        if result.code == STOPPED:
            break
    return codes


def _judge(context: RunContext, fail_states: frozenset[str]) -> int:
    """Return the exit code of the verdicts."""
    try:
        return VERDICT_EXIT_CODE if context.states & fail_states else 0
    except BackupkitError as error:
        echo(f"verdict: failed: {error}")
        return 1
