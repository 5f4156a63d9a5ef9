"""Parts of ``backupkit check`` for a pipeline: collect first, one appliance, one rule."""

import os
import sys
import warnings
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final

import backupkit as bk
from backupkit.cli.commands.collect import (
    collect_and_store,
    interrupt_on_sigterm,
    lock_history,
    open_fleet_and_history,
)
from backupkit.cli.options import WAIT, echo, print_json
from backupkit.cli.selection import Selection
from backupkit.errors import BackupkitWarning, SettingsError

if TYPE_CHECKING:
    from backupkit.assessment import Assessment

__all__ = ["assess_host", "collect_first", "print_age"]

_VARIABLE: Final = "BACKUPKIT_PASSWORD"


def collect_first(fleet: Path, history: str, selection: Selection) -> None:
    """Poll the selected appliances, and store what is new; the summary goes to stderr."""
    appliances, store = open_fleet_and_history(fleet, history, selection)
    with interrupt_on_sigterm(), lock_history(store, WAIT):
        collect_and_store(appliances, store)


def assess_host(
    host: str, user: str, *, ca_bundle: Path | None, fingerprint: str | None
) -> "Assessment":
    """Poll one appliance, and assess it by default policy; nothing is stored."""
    from backupkit.passwords import PasswordSource  # noqa: PLC0415 # keeps --help fast
    from backupkit.policy import Member  # noqa: PLC0415 # keeps --help fast

    if ca_bundle is not None and not ca_bundle.is_file():
        raise SettingsError(f'--ca-bundle: no such file "{ca_bundle}".')
    source = (
        PasswordSource("env", _VARIABLE)
        if os.environ.get(_VARIABLE) or not sys.stdin.isatty()  # in a pipeline nobody types
        else PasswordSource("prompt", host)
    )
    appliance = bk.Appliance(
        name=host,
        host=host,
        user=user,
        password=source,
        ca_bundle=ca_bundle,
        fingerprint=fingerprint,
        options=("--user", "--ca-bundle", "--fingerprint"),
    )
    with interrupt_on_sigterm(), warnings.catch_warnings():
        warnings.simplefilter("ignore", category=BackupkitWarning)  # the line has the reason
        snapshot = bk.collect([appliance], progress=False)
    return bk.evaluate(snapshot, bk.Policy(members=[Member(appliance=host, host=host)]))


def print_age(assessment: "Assessment", max_age: timedelta, *, as_json: bool) -> int:
    """Print the check of the age of the newest recovery points, and return its exit code."""
    from backupkit.reports.gate import check_age  # noqa: PLC0415 # keeps --help fast

    result, ages = check_age(assessment, max_age)
    if as_json:
        print_json(
            {
                "status": result.status,
                "code": result.code,
                "sentence": result.sentence,
                "max_age": max_age.total_seconds(),
                "appliances": [one.to_json() for one in ages],
            }
        )
    else:
        echo(result.line)
    return result.code
