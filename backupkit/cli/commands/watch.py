"""Command ``backupkit watch``: display of running jobs."""

import json
import warnings
from typing import Annotated

import typer

import backupkit as bk
from backupkit.cli.commands.collect import interrupt_on_sigterm
from backupkit.cli.options import AsJson, FleetOption, HistoryOption, records
from backupkit.errors import BackupkitWarning, SettingsError

__all__ = ["watch"]


def watch(
    fleet: FleetOption,
    history: HistoryOption,
    *,
    every: Annotated[
        str, typer.Option(metavar="10s", help="How long to wait between two looks.")
    ] = "10s",
    as_json: AsJson = False,
) -> int:
    """Follow the jobs that run, with a bar and the time left for each, until none runs.

    Each change is kept in the history. With --json each look is one line of JSON on stdout. Exit
    code: 0 nothing runs any more, 130 stopped with Ctrl-C; what was seen by then is kept.
    """
    from backupkit.cli import progress_display  # noqa: PLC0415 # it loads pandas
    from backupkit.history.retention import load_keep_polls  # noqa: PLC0415 # it loads pandas
    from backupkit.settings import parse_duration  # noqa: PLC0415 # it loads pandas

    appliances = bk.Fleet.load(fleet)
    if not len(appliances):
        raise SettingsError(f"{fleet}: no appliance to ask; add one as [[appliance]].")
    pause = parse_duration(every, where="--every").total_seconds()
    store = bk.History(history, keep_polls=load_keep_polls(fleet))
    store.check_writable()
    with (
        interrupt_on_sigterm(),
        progress_display.make_display() as display,
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore", category=BackupkitWarning)  # each poll shows the errors
        for frame in bk.watch(appliances, store, every=pause):
            if as_json:
                typer.echo(json.dumps(records(frame), ensure_ascii=False))
            display.show(frame)
            last = frame
    typer.echo(progress_display.summary(last), err=True)
    return 0
