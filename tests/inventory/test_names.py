"""Names of appliances, made of their hosts."""

import pytest

from backupkit.errors import SettingsError
from backupkit.inventory import ListedHost, name_hosts


def names(*hosts: str) -> list[str | None]:
    """Return the names of hosts."""
    return [host.name for host in name_hosts([ListedHost(host=host) for host in hosts])]


def test_short() -> None:
    """The first part of a host is its name; an address is a name as it is."""
    assert names("vc-1.example.com:8443", "10.0.0.1", "[2001:db8::1]:8443", "[::1]") == [
        *("vc-1", "10.0.0.1", "2001:db8::1", "::1"),
    ]


def test_same_first_part() -> None:
    """Hosts with the same first part, or the same address, keep their whole text."""
    assert names("vc-1.eu", "vc-1.us", "vc-2.eu", "10.0.0.1", "10.0.0.1:8443", ".x") == [
        *("vc-1.eu", "vc-1.us", "vc-2", "10.0.0.1", "10.0.0.1:8443", ".x"),
    ]


def test_each_host_once() -> None:
    """A host that is listed twice is one appliance, with the name that one line has."""
    listed = [
        ListedHost(host="VC-1.test"),
        ListedHost(host="vc-1.test", name="one"),
        ListedHost(host="vc-1.test"),
        ListedHost(host="one.test"),
    ]
    named = name_hosts(listed)
    assert [(host.host, host.name) for host in named] == [
        *(("vc-1.test", "one"), ("one.test", "one.test")),
    ]


def test_two_names() -> None:
    """Two names of one host are an error that names both lines."""
    listed = [
        ListedHost(host="vc-1", name="a", place="h.csv, line 2"),
        ListedHost(host="vc-1", name="b", place="h.csv, line 9"),
    ]
    with pytest.raises(SettingsError, match=r'h.csv, line 9: the host "vc-1" .* in h.csv, line 2'):
        name_hosts(listed)


def test_taken() -> None:
    """A name that is taken is not given again."""
    host = ListedHost(host="vc-1.test")
    assert [one.name for one in name_hosts([host], taken=["vc-1"])] == ["vc-1.test"]
    with pytest.raises(SettingsError, match=r'^the name "vc-1.test" is already taken'):
        name_hosts([host], taken=["vc-1", "vc-1.test"])


def test_same_name() -> None:
    """The same name of two hosts is an error."""
    listed = [ListedHost(host="vc-1", name="a"), ListedHost(host="vc-2", name="a")]
    with pytest.raises(SettingsError, match=r'^the name "a" is already that of the host "vc-1"'):
        name_hosts(listed)
