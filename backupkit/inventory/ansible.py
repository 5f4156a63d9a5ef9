"""Hosts of an Ansible inventory: the INI format, and what ``ansible-inventory --list`` prints.

References
----------
.. [1] Ansible, "How to build your inventory", and the plugin ``ansible.builtin.ini``.
"""

import configparser
import json
import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from backupkit.errors import SettingsError, one_line
from backupkit.inventory.hosts import ListedHost, parse_host

__all__ = ["is_ansible_ini", "parse_ansible_ini", "parse_ansible_json"]

_SECTION: Final = re.compile(
    r"^\[(?![0-9A-Fa-f.]*:[0-9A-Fa-f:.]*\])[^\]\n,]+\][^\S\n]*(?:[#;].*)?$", re.MULTILINE
)
"""Line with the name of a group; an IPv6 address in brackets is none."""

_ADDRESS: Final = "ansible_host"
_IMPLICIT: Final = frozenset({"all", "ungrouped"})
"""Groups that every inventory has; they are no label."""


@dataclass
class _Inventory:
    """Variables of each host, in the order of the file; hosts and children of each group."""

    variables: dict[str, dict[str, str]] = field(default_factory=dict)
    members: dict[str, list[str]] = field(default_factory=dict)
    children: dict[str, list[str]] = field(default_factory=dict)


def is_ansible_ini(text: str) -> bool:
    r"""Return whether a text is an inventory in the INI format.

    Examples
    --------
    >>> is_ansible_ini("[vcenters]\nvc-1.test\n"), is_ansible_ini("vc-1.test\n")
    (True, False)
    """
    return bool(_SECTION.search(text)) or f"{_ADDRESS}=" in text


def parse_ansible_ini(text: str, *, source: str, only: str | None = None) -> list[ListedHost]:
    r"""Return the hosts of an inventory in the INI format.

    The site is the variable ``site`` of the host or of its group, the group its first group.

    Raises
    ------
    SettingsError
        If a line cannot be split into words, or has a range of hosts.

    Examples
    --------
    >>> [vc] = parse_ansible_ini("[prod]\nvc-1 ansible_host=10.0.0.7 site=Kiel", source="hosts")
    >>> vc.name, vc.host, vc.keys
    ('vc-1', '10.0.0.7', {'site': 'Kiel', 'group': 'prod'})
    """
    # no delimiter, so that each line is one key; no indentation, which would continue a line
    parser = configparser.RawConfigParser(
        allow_no_value=True, delimiters=("\0",), strict=False, default_section="\0"
    )
    parser.optionxform = str  # type: ignore[assignment,method-assign] # documented: keeps the case
    lines = "\n".join(line.strip() for line in text.replace("\0", " ").splitlines())
    parser.read_string(f"[ungrouped]\n{lines}", source)
    inventory, shared = _Inventory(), dict[str, dict[str, str]]()
    for section in parser.sections():
        group, _, kind = section.partition(":")
        for line in parser.options(section):
            words = _split(line, source=source)
            if kind == "children":
                inventory.children.setdefault(group, []).extend(words[:1])
            elif kind == "vars":
                key, _, value = (part.strip() for part in line.partition("="))
                shared.setdefault(group, {})[key] = value.strip("\"'")
            else:
                _add_host(inventory, group, words, source=source)
    _inherit(inventory, shared)
    return list(_list_hosts(inventory, source=source, only=only))


def _split(line: str, *, source: str) -> list[str]:
    try:
        return shlex.split(line, comments=True)
    except ValueError as error:
        raise SettingsError(
            f'{source}: the line "{one_line(line, limit=80)}" has a quotation mark too few.'
        ) from error


def _add_host(inventory: _Inventory, group: str, words: list[str], *, source: str) -> None:
    host, *pairs = words
    if re.search(r"\[[^\]]*:[^\]]*\]", host) and not host.startswith("["):
        raise SettingsError(
            f'{source}: "{one_line(host)}" is a range of hosts. Convert the inventory with: '
            "ansible-inventory --inventory FILE --list --output hosts.json, and name hosts.json."
        )
    own = inventory.variables.setdefault(host, {})
    own |= {key: value for key, sign, value in (pair.partition("=") for pair in pairs) if sign}
    inventory.members.setdefault(group, []).append(host)


def _inherit(inventory: _Inventory, shared: Mapping[str, Mapping[str, str]]) -> None:
    """Set the variables of groups where a host has none of its own."""
    for group in sorted(shared, key=lambda name: name in _IMPLICIT):  # those of all come last
        hosts = inventory.variables if group == "all" else _members(inventory, group)
        for host in hosts:
            inventory.variables[host] = {**shared[group], **inventory.variables[host]}


def _members(inventory: _Inventory, group: str) -> list[str]:
    """Return the hosts of a group and of the groups in it."""
    hosts: dict[str, None] = {}
    waiting, seen = [group], set[str]()
    while waiting:
        name = waiting.pop()
        if name not in seen:
            seen.add(name)
            hosts |= dict.fromkeys(inventory.members.get(name, ()))
            waiting += inventory.children.get(name, ())
    return list(hosts)


def _list_hosts(inventory: _Inventory, *, source: str, only: str | None) -> Iterator[ListedHost]:
    groups: dict[str, str] = {}
    for group, hosts in inventory.members.items():
        if group not in _IMPLICIT:
            for host in hosts:
                groups.setdefault(host, group)
    chosen = None if only in (None, "all") else _members(inventory, str(only))
    for host, variables in inventory.variables.items():
        if chosen is None or host in chosen:
            address = variables.get(_ADDRESS)
            keys = {"site": variables.get("site"), "group": groups.get(host)}
            yield ListedHost(
                host=parse_host(address or host),
                name=host if address else None,
                keys={key: value for key, value in keys.items() if value},
                place=f'{source}, host "{one_line(host)}"',
            )


def parse_ansible_json(text: str, *, source: str, only: str | None = None) -> list[ListedHost]:
    """Return the hosts of an inventory as ``ansible-inventory --list`` prints it.

    Raises
    ------
    SettingsError
        If the text is not such a document.

    Examples
    --------
    >>> text = '{"_meta": {"hostvars": {}}, "prod": {"hosts": ["vc-1.test"]}}'
    >>> [(vc.host, vc.keys) for vc in parse_ansible_json(text, source="hosts.json")]
    [('vc-1.test', {'group': 'prod'})]
    """
    advice = "Write it with: ansible-inventory --inventory FILE --list --output hosts.json"
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise SettingsError(f"{source}: is not valid JSON. {advice}") from error
    document = _table(document)
    variables = _table(_table(document.get("_meta")).get("hostvars"))
    inventory = _Inventory()
    for group, content in document.items():
        if group != "_meta":
            hosts = _texts(_table(content).get("hosts"))
            inventory.members[group] = hosts
            inventory.children[group] = _texts(_table(content).get("children"))
            for host in hosts:
                inventory.variables[host] = {
                    key: value
                    for key, value in _table(variables.get(host)).items()
                    if isinstance(value, str)
                }
    if not inventory.variables:
        raise SettingsError(f"{source}: this JSON has no hosts of an inventory. {advice}")
    return list(_list_hosts(inventory, source=source, only=only))


def _table(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _texts(value: object) -> list[str]:
    return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []
