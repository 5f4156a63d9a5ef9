"""The nodes of the SSO domains that commands keep in the history, for reports and checks."""

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import backupkit as bk
from backupkit.cli.options import echo
from backupkit.errors import BackupkitError

if TYPE_CHECKING:
    from backupkit.diagnostics import Discovery

__all__ = ["keep_nodes"]


def keep_nodes(history: str, found: "Discovery") -> None:
    """Store the nodes in the history, if there is one; a failure is a message on stderr."""
    if "://" not in history and not Path(history).exists():
        return
    try:
        bk.History(history, create=False).domain_nodes.store(found.rows(datetime.now(UTC)))
    except BackupkitError as error:
        echo(f"The nodes of the SSO domains are not kept for reports: {error}", err=True)
