"""More appliances for an existing fleet.toml, whose text stays as it is."""

import tomllib
from collections.abc import Iterator, Sequence
from typing import Any

from backupkit.errors import SettingsError
from backupkit.inventory.fleet_text import KEYS, format_appliance, quote
from backupkit.inventory.hosts import ListedHost

__all__ = ["add_appliances"]


def add_appliances(text: str, hosts: Sequence[ListedHost], *, source: str = "fleet.toml") -> str:
    r"""Return the text of a fleet.toml with more appliances, and all else unchanged.

    A list ``appliance = [...]`` gets lines before its closing bracket, a file of
    ``[[appliance]]`` gets tables at its end. Each candidate is parsed, and must hold the old
    values and the new appliances.

    Raises
    ------
    SettingsError
        If the file has no place for them; the message has the lines to add by hand.

    Examples
    --------
    >>> print(add_appliances("appliance = [\n]\n", [ListedHost(host="vc-1.test", name="vc-1")]))
    appliance = [
      { name = "vc-1", host = "vc-1.test" },
    ]
    <BLANKLINE>
    """
    if not hosts:
        return text
    wanted = tomllib.loads(text)
    wanted["appliance"] = [*wanted.get("appliance", []), *map(_to_table, hosts)]
    for candidate in _candidates(text, hosts):
        if _parse(candidate) == wanted:
            return candidate
    lines = "".join(f"\n  {format_appliance(host)}," for host in hosts)
    raise SettingsError(
        f"{source}: there is no place for more appliances. Add them to its list by hand:{lines}"
    )


def _to_table(host: ListedHost) -> dict[str, str]:
    entries = {"name": str(host.name), "host": host.host}
    return entries | {key: host.keys[key] for key in KEYS if key in host.keys}


def _candidates(text: str, hosts: Sequence[ListedHost]) -> Iterator[str]:
    """Yield texts with the appliances: in a list of lines, then as tables at the end."""
    end = "\r\n" if "\r\n" in text else "\n"
    lines = text.splitlines(keepends=True)
    added = "".join(f"  {format_appliance(host)},{end}" for host in hosts)
    closing = [number for number, line in enumerate(lines) if line.lstrip().startswith("]")]
    for number in closing:
        before, after = "".join(lines[:number]), "".join(lines[number:])
        yield f"{before}{added}{after}"
        # the last line of the list may have no comma
        yield f"{before.rstrip()},{end}{added}{after}"
    tables = "".join(
        f"{end}[[appliance]]{end}"
        + "".join(f"{key} = {quote(value)}{end}" for key, value in _to_table(host).items())
        for host in hosts
    )
    yield f"{text}{'' if not text or text.endswith(end) else end}{tables}"


def _parse(text: str) -> dict[str, Any] | None:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return None
