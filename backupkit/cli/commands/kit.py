"""Command ``backupkit kit``: rules and dashboards for monitoring systems."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from backupkit.cli.options import echo

__all__ = ["kit"]


class KitName(StrEnum):
    """Monitoring system."""

    PROMETHEUS = "prometheus"
    GRAFANA = "grafana"


def kit(
    name: Annotated[KitName, typer.Argument(help="Monitoring system.")],
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder for the files.")],
    *,
    force: Annotated[bool, typer.Option("--force", help="Replace changed files.")] = False,
) -> None:
    """Write rules or dashboards for a monitoring system into a folder, and print their paths.

    prometheus: recording rules, alerting rules, and their tests for promtool. grafana: dashboards
    on the metrics in Prometheus, and on a history in SQLite or PostgreSQL.
    """
    from backupkit.reports.kit import write_kit  # noqa: PLC0415 # keeps --help fast

    for path in write_kit(name, folder, force=force):
        echo(str(path))
