"""Names of appliances, made of their hosts."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace

from backupkit.errors import SettingsError, one_line
from backupkit.inventory.hosts import ListedHost, is_address, split_port

__all__ = ["name_hosts"]


def name_hosts(hosts: Sequence[ListedHost], *, taken: Iterable[str] = ()) -> list[ListedHost]:
    """Return each host once, with a name: its own, or the first part of its host.

    Where two have the same first part, or it is a `taken` name, the whole host is the name.

    Raises
    ------
    SettingsError
        If a host is empty, two different hosts have the same name, a name is taken, or one host has
        two names.

    Examples
    --------
    >>> listed = [ListedHost(host=f"{name}.example.com") for name in ("vc-1.eu", "vc-1.us", "vc-2")]
    >>> [host.name for host in name_hosts(listed)]
    ['vc-1.eu.example.com', 'vc-1.us.example.com', 'vc-2']
    """
    unique: dict[str, ListedHost] = {}
    for host in hosts:
        if not host.host:
            raise SettingsError(
                f"{_begin(host)}the host is empty. Name a host, such as vc-1.example.com, and "
                "check the variables of the command."
            )
        first = unique.setdefault(host.host.casefold(), host)
        if host.name and first.name and host.name != first.name:
            raise SettingsError(
                f'{_begin(host)}the host "{one_line(host.host)}" has the name '
                f'"{one_line(host.name)}", and the name "{one_line(first.name)}" in '
                f"{first.place or 'the list'}. Keep one of the two."
            )
        if host.name and not first.name:
            unique[host.host.casefold()] = host
    short = {host.host: _shorten(host.host) for host in unique.values()}
    taken = set(taken)
    counts = Counter([*taken, *(host.name or short[host.host] for host in unique.values())])
    named = [
        replace(host, name=host.name or _choose(host.host, short[host.host], counts))
        for host in unique.values()
    ]
    by_name: dict[str, ListedHost] = {}
    for host in named:
        if host.name in taken:
            raise SettingsError(f'{_begin(host)}the name "{one_line(host.name)}" is already taken.')
        first = by_name.setdefault(str(host.name), host)
        if first is not host:
            raise SettingsError(
                f'{_begin(host)}the name "{one_line(str(host.name))}" is already that of the host '
                f'"{one_line(first.host)}". The name is the key in every table: give each its own.'
            )
    return named


def _begin(host: ListedHost) -> str:
    return f"{host.place}: " if host.place else ""


def _shorten(host: str) -> str:
    """Return the first part of a host name; an address stays whole."""
    bare = split_port(host)
    return bare if is_address(bare) else bare.partition(".")[0] or bare


def _choose(host: str, short: str, counts: Counter[str]) -> str:
    return short if counts[short] == 1 else host
