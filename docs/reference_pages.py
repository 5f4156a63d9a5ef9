"""Reference pages that a build of the documentation writes: they are never kept in the repository.

Command line from the commands themselves, metrics from the assessed sample, the example of
fleet.toml as it is installed, the keys of the report's JSON from its schema.
"""  # noqa: INP001 # imported by conf.py, no package

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import typer
import typer.cli
import typer.main
from prometheus_client.parser import text_string_to_metric_families

import backupkit as bk
from backupkit.cli import build_app
from backupkit.reports.openmetrics import openmetrics

FOLDER: Final = Path(__file__).parent / "reference" / "generated"
_ROOT: Final = Path(__file__).parent.parent
_SCHEMA: Final = "../../../backupkit/reports/report.schema.json"


def command_line() -> str:
    """Return all commands with their options, as typer describes them."""
    command = typer.main.get_command(build_app())
    text = typer.cli.get_docs_for_click(obj=command, ctx=typer.Context(command), name="backupkit")
    return text.replace("# `backupkit`", "# Command line", 1)


def metrics() -> str:
    """Return a table of all metrics: those of the sample."""
    history, policy, now = bk.sample()
    text = openmetrics(bk.evaluate(history, policy, last="30d", now=now))
    lines = [
        "# Metrics",
        "",
        "`backupkit metrics` writes these, for Prometheus. All are gauges.",
        "",
        "| metric | labels | meaning |",
        "| --- | --- | --- |",
    ]
    for family in text_string_to_metric_families(text.replace("# EOF\n", "")):
        labels = sorted({label for sample in family.samples for label in sample.labels})
        meaning = family.documentation.replace("|", "\\|")
        lines.append(f"| `{family.name}` | {', '.join(map(_code, labels))} | {meaning} |")
    return "\n".join(lines) + "\n"


def fleet_file() -> str:
    """Return the example of fleet.toml, which has all keys."""
    example = (_ROOT / "data" / "fleet.example.toml").read_text(encoding="utf-8")
    return (
        "# fleet.toml\n\n"
        "The appliances, where their secrets are, and the SLA. `backupkit init` writes it from a "
        "list of hosts, `backupkit init --example` prints this example with all keys. [SLA "
        "figures](../../sla.md) defines the parameters of `[policy]`.\n\n"
        f"```toml\n{example}```\n"
    )


def report_json() -> str:
    """Return the top-level keys of the report's JSON, from its schema."""
    schema: Mapping[str, Any] = json.loads((FOLDER / _SCHEMA).read_text(encoding="utf-8"))
    lines = [
        "# JSON of a report",
        "",
        "`backupkit report` writes `report.json` beside the page.",
        f"{{download}}`The JSON Schema <{_SCHEMA}>` has every key with its type and meaning.",
        "",
        "| key | meaning |",
        "| --- | --- |",
    ]
    for name, value in schema["properties"].items():
        meaning = str(value.get("description", "")).replace("|", "\\|").replace("\n", " ")
        lines.append(f"| `{name}` | {meaning} |")
    return "\n".join(lines) + "\n"


PAGES: Final[Mapping[str, Callable[[], str]]] = {
    "command-line": command_line,
    "metrics": metrics,
    "fleet-toml": fleet_file,
    "report-json": report_json,
}


def write_pages(*_sphinx: object) -> None:
    """Write the pages that differ, so that Sphinx reads no other ones again."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, page in PAGES.items():
        path, text = FOLDER / f"{name}.md", page()
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")


def _code(text: str) -> str:
    return f"`{text}`"
