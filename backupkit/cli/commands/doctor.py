"""Command ``backupkit doctor``: checks of each appliance, with the next step."""

import difflib
import shutil
import sys
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

import backupkit as bk
from backupkit.cli.options import AsJson, FleetOption, print_json, records
from backupkit.errors import SettingsError, one_line

if TYPE_CHECKING:
    import pandas as pd

    from backupkit.fleet import Appliance, Fleet

__all__ = ["doctor"]

SOME_FAILED: Final = 3
ALL_FAILED: Final = 4
MAX_NAMES: Final = 5
MAX_WIDTH: Final = 110
SYMBOLS: Final = {"ok": "✓", "warning": "!", "failed": "✗", "skipped": "-"}
PLAIN: Final = {"ok": "+", "warning": "!", "failed": "x", "skipped": "-"}


def doctor(
    fleet: FleetOption,
    names: Annotated[
        list[str] | None, typer.Argument(metavar="NAME", help="Check only these appliances.")
    ] = None,
    *,
    everything: Annotated[
        bool, typer.Option("--all", help="Also show the checks of healthy appliances.")
    ] = False,
    as_json: AsJson = False,
) -> int:
    """Check whether each appliance can be read, and name the next step if not.

    Exit code: 0 no check failed (warnings are possible), 3 some appliances failed a check, 4 all
    did.
    """
    checks = bk.doctor(_selected(bk.Fleet.load(fleet), fleet, names or []))
    results = {
        str(name): set(values) for name, values in checks.groupby("appliance", sort=False)["result"]
    }
    if as_json:
        print_json(records(checks))
    else:
        for line in _lines(checks, results, everything=everything):
            typer.echo(_printable(line))
    failed = sum("failed" in values for values in results.values())
    if failed == len(results):
        return ALL_FAILED
    return SOME_FAILED if failed else 0


def _selected(fleet: "Fleet", path: Path, names: Sequence[str]) -> Sequence["Appliance"]:
    """Return the named appliances, even disabled ones; without names, all enabled ones."""
    if not names and not len(fleet):
        raise SettingsError(f"{path}: no appliance to check; add one as [[appliance]].")
    all_names = [appliance.name for appliance in fleet.appliances]
    for name in names:
        if name not in all_names:
            similar = difflib.get_close_matches(name, all_names, n=1)
            hint = (
                f'did you mean "{similar[0]}"?'
                if similar
                else f"there are {_first_names(all_names)}."
            )
            raise SettingsError(f'{path}: no appliance is named "{name}"; {hint}')
    return (
        [appliance for appliance in fleet.appliances if appliance.name in names]
        if names
        else list(fleet)
    )


def _lines(
    checks: "pd.DataFrame", results: Mapping[str, set[str]], *, everything: bool
) -> Iterator[str]:
    """Yield the lines of each appliance, then a summary."""
    symbols = SYMBOLS if _can_show("".join(SYMBOLS.values())) else PLAIN
    width = max(len(name) for name in results)
    separated = True
    for name, rows in checks.groupby("appliance", sort=False):
        found = rows.set_index("check")["found"]
        by_result = rows.groupby("result")["check"].agg(", ".join)
        problems = [result for result in ("failed", "warning") if result in by_result]
        worst = problems[0] if problems else "ok"
        summary = (
            "; ".join(f"{result}: {by_result[result]}" for result in problems)
            or f"ok: {found['version']}, {found['job list']}"
        )
        detailed = bool(problems) or everything
        if detailed and not separated:
            yield ""
        yield f"{symbols[worst]} {one_line(str(name)):{width}}  {summary}"
        if detailed:
            yield from _details(rows, symbols, everything=everything)
            yield ""
        separated = detailed
    if not separated:
        yield ""
    yield _summary(results)


def _details(
    rows: "pd.DataFrame", symbols: Mapping[str, str], *, everything: bool
) -> Iterator[str]:
    """Yield one line per check, with advice below it; skipped checks share one line."""
    width = max(len(check) for check in rows["check"])
    folded = [] if everything else list(rows.loc[rows["result"] == "skipped", "check"])
    for row in rows.itertuples():
        if row.check in folded:
            continue
        head = f"  {symbols[str(row.result)]} {row.result:7}  {row.check:{width}}  "
        yield from _wrapped(str(row.found), head)
        if isinstance(row.advice, str):
            yield from _wrapped(row.advice, f"{'':{len(head)}}> ")
    if folded:
        yield from _wrapped(", ".join(folded), f"  {symbols['skipped']} skipped  ")


def _wrapped(text: str, head: str) -> Sequence[str]:
    """Wrap a line to the terminal; without a terminal, one line is easier to search."""
    if not sys.stdout.isatty():
        return [head + text]
    return textwrap.wrap(
        text,
        max(len(head) + 20, min(MAX_WIDTH, shutil.get_terminal_size().columns)),
        initial_indent=head,
        subsequent_indent=" " * len(head),
        break_long_words=False,
        break_on_hyphens=False,
    )


def _summary(results: Mapping[str, set[str]]) -> str:
    failed = [name for name, values in results.items() if "failed" in values]
    warned = [name for name in results if name not in failed and "warning" in results[name]]
    fine, count = len(results) - len(failed) - len(warned), len(results)
    plural, verb = "" if count == 1 else "s", "is" if 1 in {fine, count} else "are"
    text = f"{fine} of {count} appliance{plural} {verb} fine"
    text += f"; {len(warned)} with a warning: {_first_names(warned)}" if warned else ""
    return text + (f"; {len(failed)} failed: {_first_names(failed)}" if failed else "")


def _first_names(names: Sequence[str]) -> str:
    more = len(names) - MAX_NAMES
    text = ", ".join(one_line(name) for name in names[:MAX_NAMES])
    return f"{text} and {more:,} more" if more > 0 else text


def _can_show(text: str) -> bool:
    return _printable(text) == text


def _printable(text: str) -> str:
    """Replace characters that stdout cannot encode, as on an old Windows console."""
    encoding = getattr(sys.stdout, "encoding", None) or "ascii"
    return text.encode(encoding, errors="replace").decode(encoding)
