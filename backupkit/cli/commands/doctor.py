"""Command ``backupkit doctor``: checks of each appliance, with the next step."""

import re
import sys
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, Final

import typer

import backupkit as bk
from backupkit.cli.kept_nodes import keep_nodes
from backupkit.cli.options import (
    FLEET,
    HISTORY,
    ApplianceOption,
    AsJson,
    ConcurrencyOption,
    ConnectOption,
    DeadlineOption,
    FleetOption,
    GroupOption,
    HistoryOption,
    PollOption,
    ReadOption,
    ResponseOption,
    SiteOption,
    echo,
    frame_to_records,
    print_json,
    read_limit_options,
)
from backupkit.cli.selection import Selection, join_first_names
from backupkit.cli.wrapping import wrap_line
from backupkit.errors import SettingsError, one_line

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["doctor"]

SOME_FAILED: Final = 3
ALL_FAILED: Final = 4
MAX_ADVISED: Final = 20  # appliances that are named with one piece of advice
_MANAGEMENT: Final = re.compile(r"https://[^\s/]+:5480")  # address of the management interface
SYMBOLS: Final = {"ok": "✓", "warning": "!", "failed": "✗", "skipped": "-"}
ASCII_SYMBOLS: Final = {"ok": "+", "warning": "!", "failed": "x", "skipped": "-"}


def doctor(  # noqa: PLR0913 # one parameter per option
    fleet: FleetOption = FLEET,
    names: Annotated[
        list[str] | None, typer.Argument(metavar="NAME", help="Check only these appliances.")
    ] = None,
    *,
    history: HistoryOption = HISTORY,
    appliance: ApplianceOption = None,
    group: GroupOption = None,
    site: SiteOption = None,
    show_all: Annotated[
        bool, typer.Option("--all", help="Also show the checks of healthy appliances.")
    ] = False,
    connect: ConnectOption = None,
    read: ReadOption = None,
    response: ResponseOption = None,
    poll: PollOption = None,
    deadline: DeadlineOption = None,
    concurrency: ConcurrencyOption = None,
    as_json: AsJson = False,
) -> int:
    """Check whether each appliance can be read, and name the next step if not.

    If there is a history, it keeps the nodes of the SSO domains: report, check and metrics show
    what fleet.toml lacks.

    Exit code: 0 no check failed (warnings are possible), 3 some appliances failed a check, 4 all
    did.
    """
    from backupkit.diagnostics import diagnose  # noqa: PLC0415 # loads requests

    loaded = bk.Fleet.load(fleet)
    limits = read_limit_options(
        loaded,
        connect=connect,
        read=read,
        response=response,
        poll=poll,
        deadline=deadline,
        concurrency=concurrency,
    )
    selection = Selection([*(names or []), *(appliance or [])], group, site)
    if not selection and not len(loaded):
        raise SettingsError(f"{fleet}: no appliance to check; add one as [[appliance]].")
    checks, nodes = diagnose(selection.find(loaded), limits=limits, known=loaded.appliances)
    keep_nodes(history, nodes)
    results = {
        str(name): set(values) for name, values in checks.groupby("appliance", sort=False)["result"]
    }
    if as_json:
        print_json(frame_to_records(checks))
    else:
        for line in _format_results(checks, results, show_all=show_all):
            echo(_replace_unprintable(line))
    failed = sum("failed" in values for values in results.values())
    if failed == len(results):
        return ALL_FAILED
    return SOME_FAILED if failed else 0


def _format_results(
    checks: "pd.DataFrame", results: Mapping[str, set[str]], *, show_all: bool
) -> Iterator[str]:
    """Yield the lines of each appliance, then a summary."""
    symbols = SYMBOLS if _can_print("".join(SYMBOLS.values())) else ASCII_SYMBOLS
    width = max(len(name) for name in results)
    separated = True
    for name, rows in checks.groupby("appliance", sort=False):
        findings = rows.set_index("check")["found"]
        by_result = rows.groupby("result")["check"].agg(", ".join)
        problems = [result for result in ("failed", "warning") if result in by_result]
        worst = problems[0] if problems else "ok"
        summary = (
            "; ".join(f"{result}: {by_result[result]}" for result in problems)
            or f"ok: {findings['version']}, {findings['job list']}"
        )
        has_details = bool(problems) or show_all
        if has_details and not separated:
            yield ""
        yield f"{symbols[worst]} {one_line(str(name)):{width}}  {summary}"
        if has_details:
            yield from _format_checks(rows, symbols, show_all=show_all)
            yield ""
        separated = has_details
    if not separated:
        yield ""
    yield from _format_advice(checks)
    yield _format_summary(results)


def _format_advice(checks: "pd.DataFrame") -> Iterator[str]:
    """Yield each piece of advice once, with the appliances that it concerns, failures first."""
    advised = checks[checks["advice"].notna()]
    if advised.empty:
        return
    general = [
        _generalize(advice, name)
        for advice, name in zip(advised["advice"], advised["appliance"], strict=True)
    ]
    order = advised.assign(general=general, is_warning=advised["result"].ne("failed"))
    groups = order.groupby("general", sort=False)
    first = groups["is_warning"].min().sort_values(kind="stable")
    yield "What to do:"
    for text in first.index:
        rows = groups.get_group(text)
        names = join_first_names(list(dict.fromkeys(rows["appliance"])), limit=MAX_ADVISED)
        texts = rows["advice"].unique()
        yield from wrap_line(f"{', '.join(dict.fromkeys(rows['check']))}: {names}", "  ")
        yield from wrap_line(str(texts[0] if len(texts) == 1 else text), "    > ")
    yield ""


def _generalize(advice: str, name: str) -> str:
    """Return advice without the name and the address of an appliance, to compare it.

    Examples
    --------
    >>> _generalize("Set time servers at https://10.0.0.7:5480 for vc-1.", "vc-1")
    'Set time servers at https://APPLIANCE:5480 for APPLIANCE.'
    """
    text = _MANAGEMENT.sub("https://APPLIANCE:5480", advice)
    return re.sub(rf"(?<![\w-]){re.escape(name)}(?![\w-])", "APPLIANCE", text)


def _format_checks(
    rows: "pd.DataFrame", symbols: Mapping[str, str], *, show_all: bool
) -> Iterator[str]:
    """Yield one line per check; skipped checks share one line."""
    width = max(len(check) for check in rows["check"])
    folded = [] if show_all else list(rows.loc[rows["result"] == "skipped", "check"])
    for row in rows.itertuples():
        if row.check in folded:
            continue
        prefix = f"  {symbols[str(row.result)]} {row.result:7}  {row.check:{width}}  "
        yield from wrap_line(str(row.found), prefix)
    if folded:
        yield from wrap_line(", ".join(folded), f"  {symbols['skipped']} skipped  ")


def _format_summary(results: Mapping[str, set[str]]) -> str:
    failed = [name for name, values in results.items() if "failed" in values]
    warned = [name for name in results if name not in failed and "warning" in results[name]]
    fine, count = len(results) - len(failed) - len(warned), len(results)
    plural, verb = "" if count == 1 else "s", "is" if 1 in {fine, count} else "are"
    text = f"{fine} of {count} appliance{plural} {verb} fine"
    text += f"; {len(warned)} with a warning: {join_first_names(warned)}" if warned else ""
    return text + (f"; {len(failed)} failed: {join_first_names(failed)}" if failed else "")


def _can_print(text: str) -> bool:
    return _replace_unprintable(text) == text


def _replace_unprintable(text: str) -> str:
    """Replace characters that stdout cannot encode, as on an old Windows console."""
    encoding = getattr(sys.stdout, "encoding", None) or "ascii"
    return text.encode(encoding, errors="replace").decode(encoding)
