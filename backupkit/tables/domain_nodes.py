"""Nodes of the SSO domains, as appliances listed them, and their comparison with fleet.toml."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from backupkit.tables.contract import TEXT, TIME, Column, Table

__all__ = ["INVENTORY", "INVENTORY_RESULTS", "NO_VCENTER", "SeenNode"]

NO_VCENTER: Final = "PSC_EXTERNAL"
"""Type of a Platform Services Controller, which has no vCenter Server."""

INVENTORY_RESULTS: Final = ("missing", "unlisted", "unknown", "no vCenter Server", "matched")
"""Results of the comparison with fleet.toml, what needs attention first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenNode:
    """Row of a list of nodes, or that the list of an appliance was asked for.

    Attributes
    ----------
    asked : str
        Name of the appliance whose list it is.
    host : str
        Name or address of the node, as listed; "" for the row of the request itself.
    type : str
        VCSA_EMBEDDED, VCSA_EXTERNAL, PSC_EXTERNAL, or an unknown word; "" if it is missing.
    appliance : str or None
        Name in fleet.toml when it was listed; None if it was not there.
    seen_at : datetime
        When the list was read, or could not be read [UTC].
    error : str
        Why the list could not be read; "" if it was. Only in the row of the request.
    """

    asked: str
    host: str = ""
    type: str = ""
    appliance: str | None = None
    seen_at: datetime
    error: str = ""


INVENTORY = Table(
    "inventory",
    (
        Column("host", TEXT, "Name or address: of the node as listed, else that of fleet.toml."),
        Column("appliance", TEXT, "Its name in fleet.toml; missing if it is not there."),
        Column("type", TEXT, "VCSA_EMBEDDED, VCSA_EXTERNAL or PSC_EXTERNAL, as listed."),
        Column(
            "result",
            TEXT,
            "matched; missing (not in fleet.toml); unlisted (in fleet.toml, but not in any list); "
            "unknown (its list could not be read); or no vCenter Server.",
        ),
        Column("seen_at", TIME, "When the list was read, or could not be read.", "UTC"),
        Column("reason", TEXT, "Why, in a sentence; missing if it is matched."),
    ),
)
"""Nodes of the SSO domains compared with fleet.toml, what needs attention first."""
