"""Inventory file of a simulated fleet, for a client."""

import json
import os
from collections.abc import Sequence
from pathlib import Path

from backupkit.simulator.appliance import PASSWORD, USER, SimulatedAppliance


def write(path: Path, appliances: Sequence[SimulatedAppliance], authority: bytes) -> None:
    """Write the fleet file, the authority's certificate and the password.

    Parameters
    ----------
    path : Path
        TOML file; the others are written beside it, with the same stem.
    appliances : sequence of SimulatedAppliance
        Appliances with their ports.
    authority : bytes
        Certificate of the authority, PEM.
    """
    password, bundle = path.with_suffix(".password"), path.with_suffix(".ca.pem")
    password.unlink(missing_ok=True)  # an old file may be readable by all
    descriptor = os.open(password, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(f"{PASSWORD}\n")
    bundle.write_bytes(authority)
    blocks = [
        "# Written by the backupkit simulator: its appliances answer while it runs.",
        f"""[defaults]
user = {quoted(USER)}
password = {{ file = {quoted(password.name)} }}
ca_bundle = {quoted(bundle.name)}""",
        """[policy]
rpo = "24h"
grace = "2h"
target = 0.99""",
        *map(_table, appliances),
    ]
    path.write_text("\n\n".join(blocks) + "\n", encoding="utf-8")


def quoted(text: str) -> str:
    r"""Return a text as a TOML basic string.

    Examples
    --------
    >>> print(quoted('a "b" \\ \x7f'))
    "a \"b\" \\ \u007f"
    """
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _table(appliance: SimulatedAppliance) -> str:
    spec = appliance.spec
    rows = {
        "name": appliance.name,
        "host": appliance.host,
        "site": appliance.site,
        "group": appliance.group,
        "timezone": spec.configured_timezone,
        "exclude": spec.exclude,
    }
    lines = [f"{key} = {quoted(value)}" for key, value in rows.items() if value is not None]
    return "\n".join(["[[appliance]]", *lines])
