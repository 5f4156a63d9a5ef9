"""Command ``backupkit discover``: vCenters of the SSO domain that fleet.toml does not have."""

import shlex
import sys
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, NamedTuple

import typer

from backupkit.cli.kept_nodes import keep_nodes
from backupkit.cli.options import (
    FLEET,
    HISTORY,
    AsJson,
    ConnectOption,
    DeadlineOption,
    FleetOption,
    HistoryOption,
    ReadOption,
    echo,
    print_json,
    read_limit_options,
)
from backupkit.cli.outputs import replace_text
from backupkit.cli.selection import join_first_names
from backupkit.errors import BackupkitError, SettingsError, one_line

if TYPE_CHECKING:
    from backupkit.diagnostics import Discovery
    from backupkit.fleet import Appliance, Fleet

__all__ = ["SOME_MISSING", "discover", "format_missing"]

SOME_MISSING: Final = 3
NONE_READ: Final = 4
WARNING: Final = 1
UNKNOWN: Final = 3
MAX_LINE: Final = 800  # characters; some agents cut at 1,024
KINDS: Final = {
    "VCSA_EMBEDDED": "vCenter Server",
    "VCSA_EXTERNAL": "vCenter Server, external PSC",
    "PSC_EXTERNAL": "Platform Services Controller",
    "": "unknown type",
}


def discover(  # noqa: PLR0913 # one parameter per option
    hosts: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[HOST|NAME]...",
            help="Ask only these: names of fleet.toml, or hosts (default: fleet.toml, one "
            "appliance of each SSO domain).",
        ),
    ] = None,
    fleet: FleetOption = FLEET,
    history: HistoryOption = HISTORY,
    *,
    user: Annotated[
        str | None, typer.Option("--user", help="User of a host that fleet.toml does not have.")
    ] = None,
    password: Annotated[
        str | None,
        typer.Option(
            "--password-from",
            metavar="SOURCE",
            help="Where its password is: env:VARIABLE, file:PATH, keyring:SERVICE, command:PROGRAM "
            "or prompt.",
        ),
    ] = None,
    ca_bundle: Annotated[
        Path | None,
        typer.Option("--ca-bundle", metavar="FILE", help="PEM file of its certificate authority."),
    ] = None,
    fingerprint: Annotated[
        str | None,
        typer.Option("--fingerprint", metavar="SHA256", help="Its only trusted certificate."),
    ] = None,
    add: Annotated[
        bool,
        typer.Option("--add", help="Add the missing ones to fleet.toml; its comments stay."),
    ] = False,
    yes: Annotated[
        bool, typer.Option("--yes", "-y", help="With --add: do not ask before the file is changed.")
    ] = False,
    connect: ConnectOption = None,
    read: ReadOption = None,
    deadline: DeadlineOption = None,
    check: Annotated[
        bool,
        typer.Option(
            "--check",
            help="Print one line for Nagios, Icinga or Checkmk. Exit code: 0 OK, 1 WARNING if some "
            "are missing, 3 UNKNOWN if some domain could not be read.",
        ),
    ] = False,
    as_json: AsJson = False,
) -> int:
    """List the vCenters of the SSO domain, and those that fleet.toml does not have.

    Each SSO domain (enhanced linked mode) is read from one of its appliances, version 6.7 U2 or
    later; older ones alone in a domain are named, and are no error. If there is a history, it
    keeps the result: report, check and metrics show it. Exit code: 0 fleet.toml has all, 3 some are
    missing or some domain could not be read, 4 none could be read.
    """
    from backupkit.diagnostics import discover as read_domains  # noqa: PLC0415 # loads requests

    try:
        loaded = _load(fleet, add=add, check=check, is_needed=not hosts)
        direct = _Direct(user, password, ca_bundle, fingerprint)
        asked = [_find(loaded, host, direct) for host in hosts or []]
        if not asked and not len(loaded):
            raise SettingsError(
                f"{fleet}: no appliance to ask; name a host, or add one as [[appliance]]."
            )
        limits = read_limit_options(loaded, connect=connect, read=read, deadline=deadline)
        found = read_domains(asked or loaded, known=loaded.appliances, limits=limits)
        keep_nodes(history, found)
    except BackupkitError as error:
        if not check:
            raise
        # one line; a "|" would start the performance data
        echo(f"UNKNOWN: {' '.join(str(error).replace('|', '/').split())}")
        return UNKNOWN
    if check:
        return _print_check(found)
    if not as_json:
        _print(found, fleet)
    added: list[str] = []
    if add and found.missing:
        _confirm(found, fleet, yes=yes)
        added = _add(fleet, loaded, found)
        names = ", ".join(one_line(name) for name in added)
        echo(f"Added to {fleet}: {names}. Next: backupkit doctor{_repeat(fleet)}", err=True)
    elif found.missing:
        _print_next_step(found, fleet, hosts if not loaded.source else None)
    if as_json:
        print_json(_to_json(found, added))
    if not found.nodes:
        return NONE_READ
    return SOME_MISSING if len(added) < len(found.missing) or found.unread else 0


def _load(path: Path, *, add: bool, check: bool, is_needed: bool) -> "Fleet":
    """Return the fleet; an empty one if the file is missing, as a host with a user needs none."""
    from backupkit.fleet import Fleet  # noqa: PLC0415 # keeps --help fast

    if check and add:
        raise SettingsError("--check changes nothing: leave out --add.")
    return Fleet.load(path) if add or is_needed or path.exists() else Fleet([])


class _Direct(NamedTuple):
    """Options for hosts that fleet.toml does not have."""

    user: str | None
    password: str | None
    ca_bundle: Path | None
    fingerprint: str | None


def _find(fleet: "Fleet", host: str, direct: _Direct) -> "Appliance":
    """Return an appliance of the fleet by name or host, or one made of the options."""
    from backupkit.fleet import Appliance  # noqa: PLC0415 # keeps --help fast
    from backupkit.inventory import parse_host  # noqa: PLC0415
    from backupkit.passwords import PasswordSource  # noqa: PLC0415

    address = parse_host(host)
    for appliance in fleet.appliances:
        if host == appliance.name or address.casefold() == appliance.host.casefold():
            return appliance
    if direct.user is None or direct.password is None:
        known = f"{fleet.source} has no such appliance. " if fleet.appliances else ""
        raise SettingsError(
            f"{one_line(host)}: {known}State its user and the source of its password, for example: "
            "--user administrator@vsphere.local --password-from prompt"
        )
    if direct.ca_bundle is not None and not direct.ca_bundle.is_file():
        raise SettingsError(f'--ca-bundle: no such file "{direct.ca_bundle}".')
    return Appliance(
        name=host,
        host=address,
        user=direct.user,
        password=PasswordSource.parse(direct.password, where="--password-from"),
        ca_bundle=direct.ca_bundle,
        fingerprint=direct.fingerprint,
        options=("--user", "--password-from", "--ca-bundle", "--fingerprint"),
    )


def _print_check(found: "Discovery") -> int:
    """Print the result for a monitoring plug-in, and return its exit code."""
    missing, count = len(found.missing), len(found.nodes)
    if missing:
        code, status = WARNING, "WARNING"
    elif found.unread or not count:
        code, status = UNKNOWN, "UNKNOWN"
    else:
        code, status = 0, "OK"
    performance = f"missing={missing};0;;0 nodes={count};;;0 unread={len(found.unread)};;;0"
    performance += f" too_old={len(found.too_old)};;;0"
    echo(f"{status}: {format_missing(found).replace('|', '/')} | {performance}")
    return code


def format_missing(found: "Discovery") -> str:
    """Return what is missing and what is unknown, as one line."""
    missing, count = found.missing, len(found.nodes)
    sentence = f"{len(missing)} of {count} nodes of the SSO domains missing in fleet.toml"
    if missing:
        sentence += f" ({join_first_names([node.host for node in missing])})"
    if found.unread:
        sentence += f"; the SSO domain is unknown of {join_first_names(list(found.unread))}"
    if found.too_old:
        sentence += (
            f"; before 6.7 Update 2, so to compare by hand: {join_first_names(list(found.too_old))}"
        )
    return one_line(sentence, limit=MAX_LINE)


def _repeat(fleet: Path) -> str:
    """Return the option for the next command that reads the same file; "" for the usual one."""
    return "" if fleet == FLEET else f" --fleet {shlex.quote(str(fleet))}"


def _confirm(found: "Discovery", fleet: Path, *, yes: bool) -> None:
    """Ask before hosts that an appliance has named get the credentials of fleet.toml."""
    if yes:
        return
    hosts = ", ".join(one_line(node.host) for node in found.missing)
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise SettingsError(
            f"not added: {hosts}. The next command sends the credentials of fleet.toml to them: "
            f"check the names, then add them with: backupkit discover --add --yes{_repeat(fleet)}"
        )
    question = f"Add {hosts}? The next command sends the credentials of fleet.toml to them."
    typer.confirm(question, abort=True, err=True)


def _print_next_step(found: "Discovery", fleet: Path, hosts: Sequence[str] | None) -> None:
    """Print how to get the missing nodes into fleet.toml; `hosts` were asked without one."""
    if hosts is not None:
        command = shlex.join(["backupkit", "init", "--discover", *hosts])
        echo(f"There is no {fleet}. Write one with: {command}", err=True)
        return
    echo(
        f"{len(found.missing)} of {len(found.nodes)} nodes missing in {fleet}. "
        f"Add them with: backupkit discover --add{_repeat(fleet)}",
        err=True,
    )


def _add(path: Path, fleet: "Fleet", found: "Discovery") -> list[str]:
    """Add the missing nodes to fleet.toml; return their names there."""
    from backupkit.fleet import Fleet  # noqa: PLC0415 # keeps --help fast
    from backupkit.inventory import ListedHost, add_appliances, name_hosts, parse_host  # noqa: PLC0415
    from backupkit.settings import SettingsFile, decode_text  # noqa: PLC0415

    new = [ListedHost(host=parse_host(node.host)) for node in found.missing]
    hosts = name_hosts(new, taken=[appliance.name for appliance in fleet.appliances])
    text = add_appliances(decode_text(path.read_bytes()), hosts, source=str(path))
    Fleet.load(SettingsFile(path, tomllib.loads(text)))  # before the file is changed
    replace_text(path, text)
    return [str(host.name) for host in hosts]


def _to_json(found: "Discovery", added: Sequence[str]) -> dict[str, Any]:
    return {
        "nodes": [
            {"host": node.host, "type": node.type, "appliance": node.appliance}
            for node in found.nodes
        ],
        "missing": [node.host for node in found.missing],
        "unlisted": list(found.unlisted),
        "outside": list(found.outside),
        "unread": [{"appliance": name, "reason": text} for name, text in found.unread.items()],
        "too_old": [{"appliance": name, "reason": text} for name, text in found.too_old.items()],
        "asked": found.asked,
        "added": list(added),
    }


def _print(found: "Discovery", path: Path) -> None:
    rows = [
        (
            one_line(node.host),
            KINDS.get(node.type, node.type),
            "missing" if node.is_missing else node.appliance or "no vCenter Server",
        )
        for node in found.nodes
    ]
    header = ("NODE", "TYPE", "IN FLEET.TOML")
    widths = [max(len(row[column]) for row in [header, *rows]) for column in range(2)]
    for row in [header, *rows] if rows else []:
        echo(f"{row[0]:{widths[0]}}  {row[1]:{widths[1]}}  {row[2]}")
    for name in found.unlisted:
        echo(
            f"{one_line(name)}: no list has the address of this appliance, not even its own. "
            f"Check its host in {path}.",
            err=True,
        )
    if found.outside and found.nodes:  # without a node, nothing was compared
        names = join_first_names(found.outside)
        echo(f"In {path}, but in none of these SSO domains: {names}", err=True)
    for name, reason in (found.unread | found.too_old).items():
        echo(
            f"{one_line(name)}: its SSO domain is unknown: {one_line(reason, limit=400)}", err=True
        )
