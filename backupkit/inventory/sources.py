"""Hosts of a file: a list, a CSV file with a header, or an Ansible inventory."""

import csv
import io
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from backupkit.errors import SettingsError, one_line
from backupkit.inventory.ansible import is_ansible_ini, parse_ansible_ini, parse_ansible_json
from backupkit.inventory.hosts import ListedHost, is_address, parse_host, split_port
from backupkit.settings import check_text, decode_text

__all__ = ["HEADINGS", "read_source", "read_text"]

HEADINGS: Final = {
    "host": (
        *("host", "fqdn", "dns_name", "dns", "hostname", "host_name", "server", "vcenter"),
        *("vcenter_server", "address", "ip_address", "ip"),
    ),
    "name": ("name", "display_name", "ci_name", "appliance", "alias"),
    "site": ("site", "location", "datacenter", "data_center", "datacentre", "city", "standort"),
    "group": ("group", "environment", "env", "tier", "stage", "gruppe", "umgebung"),
    "timezone": ("timezone", "time_zone"),
}
"""Headings of a CSV file, in lower case, that are read as each key; the first one found counts."""

_DELIMITERS: Final = ",;\t|"
_SEPARATORS: Final = re.compile(r"[\s,;]+")
_LINE_ENDS: Final = re.compile(r"[\r\n]+")
_HOST_NAME: Final = re.compile(r"(?=.*[A-Za-z])[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+\.?")
"""Host name with its domain."""

_YAML: Final = frozenset({".yml", ".yaml"})
_REMOVE: Final = (
    "Remove it in an editor that shows such characters, or write the list again from its source."
)
_MAX_HEADINGS: Final = 12  # in an error


def read_source(path: Path, *, only: str | None = None) -> list[ListedHost]:
    """Return the hosts of a file.

    Parameters
    ----------
    path : Path
        Text file with hosts, CSV file with a header, Ansible inventory in the INI format, or the
        JSON that ``ansible-inventory --list`` prints.
    only : str, optional
        Group of the inventory, or of the CSV file, whose hosts to return; default: all hosts.

    Raises
    ------
    SettingsError
        If the file cannot be read, or has no host; the message names the file and the line.
    """
    if path.suffix.lower() == ".toml":
        raise SettingsError(
            f"{path}: a fleet.toml is no list of hosts. Add appliances to it by hand, or with: "
            "backupkit discover --add"
        )
    if path.suffix.lower() in _YAML:
        raise SettingsError(
            f"{path}: an inventory in YAML is read by Ansible itself. Convert it with: "
            f"ansible-inventory --inventory {path} --list --output hosts.json, and name hosts.json."
        )
    try:
        text = decode_text(path.read_bytes())
    except UnicodeDecodeError as error:
        raise SettingsError(f"{path}: is not UTF-8 text. Save it again as UTF-8.") from error
    except OSError as error:
        raise SettingsError(f"{path}: cannot be read: {error.strerror}.") from error
    return read_text(text, source=str(path), only=only)


def read_text(text: str, *, source: str, only: str | None = None) -> list[ListedHost]:
    r"""Return the hosts of a text in one of the formats of `read_source`.

    Examples
    --------
    >>> [host.host for host in read_text("vc-1.test\n# old\nvc-2.test", source="hosts.txt")]
    ['vc-1.test', 'vc-2.test']
    >>> read_text("FQDN;City\nvc-1.test;Kiel", source="hosts.csv")[0].keys
    {'site': 'Kiel'}
    """
    if text.lstrip().startswith("{") or source.lower().endswith(".json"):
        hosts = parse_ansible_json(text, source=source, only=only)
    elif is_ansible_ini(text):
        hosts = parse_ansible_ini(text, source=source, only=only)
    elif (delimiter := _find_delimiter(text, source=source)) is not None:
        hosts = _parse_csv(text, delimiter, source=source, only=only)
    elif only is not None:
        raise SettingsError(
            f'{source}: a list of hosts has no group "{one_line(only)}". Leave out --only.'
        )
    else:
        hosts = list(_parse_list(text, source=source))
    for host in hosts:
        for key, value in {"host": host.host, "name": host.name or "", **host.keys}.items():
            check_text(value, where=f"{host.place}: {key}", advice=_REMOVE)
    if not hosts:
        group = "" if only is None else f' in the group "{one_line(only)}"'
        raise SettingsError(
            f"{source}: no host was found{group}. Write one host on each line, or a CSV file with "
            "a header such as: name,host,site,group"
        )
    return hosts


def _parse_list(text: str, *, source: str) -> Iterator[ListedHost]:
    for number, line in enumerate(text.splitlines(), start=1):
        for word in _SEPARATORS.split(line.partition("#")[0].strip()):
            if word:
                yield ListedHost(host=parse_host(word), place=f"{source}, line {number}")


def _find_delimiter(text: str, *, source: str) -> str | None:
    """Return the delimiter of a CSV file; None if neither header nor name is of one."""
    header = next((line for line in text.splitlines() if line.strip()), "")
    if matched := re.fullmatch(rf"sep=([{_DELIMITERS}])", header.strip()):  # by Excel
        return matched[1]
    delimiter = max(_DELIMITERS, key=header.count)
    fields = [_normalize(field) for field in header.split(delimiter)]
    known = {heading for headings in HEADINGS.values() for heading in headings}
    is_table = source.lower().endswith((".csv", ".tsv"))
    return delimiter if is_table or known.intersection(fields) else None


def _normalize(heading: str) -> str:
    return re.sub(r"[\s_-]+", "_", heading.strip().strip('"').strip().lower())


def _parse_csv(text: str, delimiter: str, *, source: str, only: str | None) -> list[ListedHost]:
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    columns: dict[str, int] = {}
    hosts: list[ListedHost] = []
    try:
        for row in rows:
            if not any(field.strip() for field in row) or row[0].startswith("sep="):
                continue
            if not columns:
                columns = _find_columns(row, source=source)
                continue
            place = f"{source}, line {rows.line_num}"
            values = {
                key: _LINE_ENDS.sub(" ", row[index].strip())
                for key, index in columns.items()
                if index < len(row) and row[index].strip()
            }
            host, name = values.pop("host", None), values.pop("name", None)
            if host is None and "host" in columns:
                raise SettingsError(f"{place}: the host is missing.")
            if host is None and name is None:
                raise SettingsError(f"{place}: the name is missing.")
            if host and name and _is_better_host(name, host):
                host, name = name, None
            if only is None or values.get("group") == only:
                hosts.append(
                    ListedHost(
                        host=parse_host(host or str(name)),
                        name=name if host else None,
                        keys=values,
                        place=place,
                    )
                )
    except csv.Error as error:
        raise SettingsError(f"{source}, line {rows.line_num}: {error}.") from error
    return hosts


def _is_better_host(name: str, host: str) -> bool:
    """Return whether a name is the host name of an address, as certificates have it."""
    return is_address(split_port(parse_host(host))) and bool(_HOST_NAME.fullmatch(name))


def _find_columns(header: list[str], *, source: str) -> dict[str, int]:
    """Return the index of the column of each key."""
    fields = [_normalize(field) for field in header]
    columns = {
        key: fields.index(found[0])
        for key, headings in HEADINGS.items()
        if (found := [heading for heading in headings if heading in fields])
    }
    if not {"host", "name"} & set(columns):
        shown = ", ".join(one_line(field, limit=40) for field in header[:_MAX_HEADINGS])
        raise SettingsError(
            f"{source}: no column has the hosts; there are: {shown}. Name one of them host."
        )
    return columns
