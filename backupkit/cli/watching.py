"""Command ``backupkit watch``: display of running jobs."""

import json
import warnings
from typing import Annotated

import typer

import backupkit as bk
from backupkit.cli.collecting import stoppable
from backupkit.cli.options import AsJson, FleetFile, HistoryPlace, records
from backupkit.errors import BackupkitWarning, SettingsError

__all__ = ["watch"]


def watch(
    fleet: FleetFile,
    history: HistoryPlace,
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
    from backupkit.cli import bars  # noqa: PLC0415 # it loads pandas
    from backupkit.history.options import load_keep_polls  # noqa: PLC0415 # so does this
    from backupkit.settings import parse_duration  # noqa: PLC0415

    appliances = bk.Fleet.load(fleet)
    if not len(appliances):
        raise SettingsError(f"{fleet}: no appliance to ask; add one as [[appliance]].")
    pause = parse_duration(every, where="--every").total_seconds()
    kept = bk.History(history, keep_polls=load_keep_polls(fleet))
    kept.check_writable()
    with stoppable(), bars.suited() as shown, warnings.catch_warnings():
        warnings.simplefilter("ignore", category=BackupkitWarning)  # each poll shows the errors
        for frame in bk.watch(appliances, kept, every=pause):
            if as_json:
                typer.echo(json.dumps(records(frame), ensure_ascii=False))
            shown.show(frame)
            last = frame
    typer.echo(bars.summary(last), err=True)
    return 0
