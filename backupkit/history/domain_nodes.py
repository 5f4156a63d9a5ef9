"""Nodes of the SSO domains in a history: what the last discovery has read of each domain.

The table is made when the first list is stored. It is apart from the ledger: no digest covers it,
and neither an export nor an import contains it, because the next discovery reads it again. A backup
does.
"""

from collections.abc import Sequence
from typing import Final

from backupkit.history.databases import Connection, Reader
from backupkit.history.log import HistoryLog
from backupkit.history.stored import to_datetime, to_microseconds
from backupkit.tables.domain_nodes import SeenNode

__all__ = [
    "DOMAIN_NODES_TABLE",
    "DomainNodeLog",
    "create_domain_nodes_table",
    "forget_domain_nodes",
    "prune_domain_nodes",
    "read_domain_nodes",
]

DOMAIN_NODES_TABLE: Final = "domain_nodes"
_TABLE: Final = """
CREATE TABLE IF NOT EXISTS domain_nodes (
  asked TEXT NOT NULL, host TEXT NOT NULL, type TEXT NOT NULL, appliance TEXT,
  seen_at BIGINT NOT NULL, error TEXT NOT NULL,
  PRIMARY KEY (asked, host)
)
"""
_TYPES: Final = dict.fromkeys(("asked", "host", "type", "appliance"), "text") | {
    "seen_at": "integer",
    "error": "text",
}
"""Columns of the table, with their types."""


class DomainNodeLog(HistoryLog):
    """The nodes of the SSO domains in one history; each method is one transaction.

    Examples
    --------
    >>> import tempfile
    >>> from datetime import UTC, datetime
    >>> from pathlib import Path
    >>> from backupkit import History
    >>> log = History(Path(tempfile.mkdtemp()) / "history.db").domain_nodes
    >>> now = datetime(2026, 11, 9, tzinfo=UTC)
    >>> log.store([SeenNode(asked="vc-1", host="vc-2.test", seen_at=now)])
    >>> [(node.host, node.appliance) for node in log.read()]
    [('vc-2.test', None)]
    """

    def read(self) -> tuple[SeenNode, ...]:
        """Return the newest rows of each SSO domain, by appliance that was asked."""
        with self._database.read() as reader:
            return read_domain_nodes(reader)

    def store(self, rows: Sequence[SeenNode]) -> None:
        """Store the result of a discovery, in place of older lists of the same SSO domains.

        Parameters
        ----------
        rows : sequence of SeenNode
            Result of `Discovery.rows`. Where a list could not be read, the older one stays.
        """
        read = {row.asked for row in rows if not row.error}
        listed = {row.appliance for row in rows if row.appliance}
        failed = {row.asked for row in rows if row.error}

        def action(connection: Connection) -> None:
            create_domain_nodes_table(connection)
            connection.execute_many(
                "DELETE FROM domain_nodes WHERE asked = ?",
                [(name,) for name in sorted(read | listed)],
            )
            connection.execute_many(
                "DELETE FROM domain_nodes WHERE asked = ? AND host = ''",
                [(name,) for name in sorted(failed)],
            )
            connection.execute_many(
                "DELETE FROM domain_nodes WHERE host = ?", [(row.host,) for row in rows if row.host]
            )
            connection.insert(DOMAIN_NODES_TABLE, (*_TYPES,), [_encode(row) for row in rows])

        self._database.write(action)


def read_domain_nodes(reader: Reader) -> tuple[SeenNode, ...]:
    """Return the newest rows of each SSO domain, by appliance that was asked."""
    if not reader.has_table(DOMAIN_NODES_TABLE):
        return ()
    rows = reader.rows(f"SELECT {', '.join(_TYPES)} FROM domain_nodes", _TYPES)
    return tuple(
        SeenNode(
            asked=asked,
            host=host,
            type=kind,
            appliance=appliance,
            seen_at=to_datetime(seen_at),
            error=error,
        )
        for asked, host, kind, appliance, seen_at, error in sorted(rows, key=lambda row: row[:2])
    )


def create_domain_nodes_table(connection: Connection) -> None:
    """Create the table of nodes, unless it exists."""
    if not connection.has_table(DOMAIN_NODES_TABLE):  # else its creation would need the right to it
        connection.execute(_TABLE)


def forget_domain_nodes(connection: Connection, appliance: str) -> None:
    """Remove the list of an appliance, and the appliance from all others."""
    if connection.has_table(DOMAIN_NODES_TABLE):
        connection.execute(
            "DELETE FROM domain_nodes WHERE asked = ? OR appliance = ?", [appliance, appliance]
        )


def prune_domain_nodes(connection: Connection, before: int) -> None:
    """Remove what was read before an instant [us]."""
    if connection.has_table(DOMAIN_NODES_TABLE):
        connection.execute("DELETE FROM domain_nodes WHERE seen_at < ?", [before])


def _encode(row: SeenNode) -> tuple[str | int | None, ...]:
    seen_at = to_microseconds(row.seen_at)
    return (row.asked, row.host, row.type, row.appliance, seen_at, row.error)
