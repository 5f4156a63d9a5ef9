"""Inventory file of a simulated fleet, for a client."""

import json
import os
from collections.abc import Sequence
from pathlib import Path

from backupkit.simulator.appliance import PASSWORD, USER, SimulatedAppliance
from backupkit.simulator.identity import IdentityProvider


def write_fleet_file(
    path: Path,
    appliances: Sequence[SimulatedAppliance],
    authority: bytes,
    provider: IdentityProvider | None = None,
) -> None:
    """Write the fleet file and beside it the authority's certificate and the password or secret."""
    secret_file = secret_path(path, provider)
    bundle = path.with_suffix(".ca.pem")
    secret_file.unlink(missing_ok=True)  # an old file may be readable by all
    descriptor = os.open(secret_file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(f"{provider.secret if provider else PASSWORD}\n")
    bundle.write_bytes(authority)
    secret = f"{{ file = {quoted(secret_file.name)} }}"
    login = f"user = {quoted(USER)}\npassword = {secret}"
    if provider is not None:
        login = (
            f"oauth = {{ url = {quoted(provider.url)}, client = {quoted(provider.client)}, "
            f"secret = {secret}, ca_bundle = {quoted(bundle.name)} }}"
        )
    blocks = [
        "# Written by the backupkit simulator: its appliances answer while it runs.",
        f"""[defaults]
{login}
ca_bundle = {quoted(bundle.name)}""",
        """[policy]
rpo = "24h"
grace = "2h"
target = 0.99""",
        *map(_table, appliances),
    ]
    path.write_text("\n\n".join(blocks) + "\n", encoding="utf-8")


def secret_path(path: Path, provider: IdentityProvider | None) -> Path:
    """Return the file of the password, or of the client secret, beside a fleet file."""
    return path.with_suffix(".secret" if provider else ".password")


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
