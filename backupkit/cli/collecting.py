"""``backupkit collect``: one round, kept in the history."""

import warnings
from typing import TYPE_CHECKING, Any, Final

import typer

import backupkit as bk
from backupkit.cli.options import AsJson, FleetFile, HistoryFolder, print_json, records
from backupkit.errors import BackupkitWarning, SettingsError

if TYPE_CHECKING:
    from backupkit.collect import Snapshot
    from backupkit.fleet import Fleet
    from backupkit.history import Appended, History

__all__ = ["collect", "collect_into"]

SOME_UNREAD: Final = 3
NONE_READ: Final = 4
SHOWN_ERRORS: Final = 20


def collect(fleet: FleetFile, history: HistoryFolder, *, as_json: AsJson = False) -> int:
    """Ask every appliance once, and keep what is new in the history.

    Exit code: 0 all were read, 3 some were not, 4 none was.
    """
    appliances = bk.Fleet.load(fleet)
    if not len(appliances):
        raise SettingsError(f"{fleet}: no appliance to ask; add one as [[appliance]].")
    snapshot, added = collect_into(appliances, bk.History(history))
    if as_json:
        print_json(_round(snapshot, added))
    return _collect_code(snapshot)


def collect_into(fleet: "Fleet", history: "History") -> tuple["Snapshot", "Appended"]:
    """Make one round, keep it, and say what came of it."""
    known = history.jobs()
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always", category=BackupkitWarning)
        snapshot = bk.collect(fleet, known=known)
    added = history.append(snapshot)
    polls = snapshot.polls
    read = int(polls["ok"].sum())
    seen = set(zip(known["appliance"], known["job_id"], strict=True))
    new = sum(
        key not in seen
        for key in zip(
            snapshot.observations["appliance"], snapshot.observations["job_id"], strict=True
        )
    )
    changed = added.observations - new
    listed = int(polls.loc[polls["ok"], "jobs_listed"].sum())
    asked_for = len(snapshot.observations) + int(snapshot.errors["job_id"].notna().sum())
    typer.echo(
        f"Read {read} of {len(polls)} appliances: {listed:,} jobs listed, {new:,} new"
        + (f", {changed:,} changed" if changed else "")
        + (f", {listed - asked_for:,} known and not asked for again" if len(known) else "")
        + f", in {int(polls['requests'].sum()):,} requests.",
        err=True,
    )
    if read:  # that nobody could be read is said above
        for warning in warned:
            typer.echo(f"  {warning.message}", err=True)
    for row in snapshot.errors.head(SHOWN_ERRORS).itertuples():
        typer.echo(f"  {row.appliance}: {row.detail}", err=True)
    if (more := len(snapshot.errors) - SHOWN_ERRORS) > 0:
        typer.echo(f"  and {more:,} more; --json tells all, and so does the report.", err=True)
    return snapshot, added


def _collect_code(snapshot: "Snapshot") -> int:
    ok = snapshot.polls["ok"]
    if ok.all():
        return 0
    return SOME_UNREAD if ok.any() else NONE_READ


def _round(snapshot: "Snapshot", added: "Appended") -> dict[str, Any]:
    return {
        "read": int(snapshot.polls["ok"].sum()),
        "asked": len(snapshot.polls),
        "observations_added": added.observations,
        "polls": records(snapshot.polls),
        "errors": records(snapshot.errors),
    }
