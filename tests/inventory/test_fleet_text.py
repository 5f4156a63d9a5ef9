"""Texts of fleet.toml: new ones, and old ones with more appliances."""

import tempfile
import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backupkit import Fleet, Policy
from backupkit.errors import SettingsError
from backupkit.inventory import (
    ListedHost,
    Setup,
    add_appliances,
    format_fleet,
    read_example,
)
from backupkit.passwords import PasswordSource

SETUP = Setup(user="reader@vsphere.local", password=PasswordSource("env", "SECRET"))
NEW = [
    ListedHost(host="vc-8.test", name='vc "8"', keys={"site": "Kiel"}),
    ListedHost(host="vc-9.test", name="vc-9"),
]
LABELS = st.text(st.characters(exclude_categories=["Cc", "Cs"]), min_size=1, max_size=20)
NAMES = LABELS.filter(str.strip)


def load(text: str) -> Fleet:
    """Write a fleet.toml and load it, with its policy."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "fleet.toml"
        path.write_text(text, encoding="utf-8", newline="")
        Policy.load(path)
        return Fleet.load(path)


def summary(fleet: Fleet) -> list[tuple[str, str, str | None, str | None]]:
    """Return name, host, site and group of each appliance."""
    return [(one.name, one.host, one.site, one.group) for one in fleet.appliances]


@pytest.mark.property
@given(
    names=st.lists(NAMES, max_size=4, unique=True),
    label=LABELS,
    user=NAMES,
    password=st.builds(
        PasswordSource, st.sampled_from(["env", "file", "keyring"]), NAMES.map(lambda text: text)
    ),
)
def test_round_trip(names: list[str], label: str, user: str, password: PasswordSource) -> None:
    """A fleet.toml holds what it was made of, whatever the texts have in them."""
    hosts = [
        ListedHost(host=f"vc-{number}.test", name=name, keys={"site": label})
        for number, name in enumerate(names)
    ]
    setup = Setup(user=user, password=password, site="S", group=label)
    fleet = load(format_fleet(hosts, setup))
    assert summary(fleet) == [(host.name, host.host, label, label) for host in hosts]
    assert all(one.user == user for one in fleet)
    assert all(one.password.kind == password.kind for one in fleet)
    assert all(one.password.place.endswith(password.place) for one in fleet)
    # the other form of the list
    tables = "[defaults]\nuser = 'u@v'\npassword = { prompt = true }\n[policy]\nrpo = '24h'"
    assert summary(load(add_appliances(tables, hosts))) == [
        (host.name, host.host, label, None) for host in hosts
    ]


def test_command() -> None:
    """A command is written as a list of its arguments, and read as the same command."""
    source = PasswordSource.parse("command:pass show 'vc \"reader\"'", where="")
    text = format_fleet(NEW, Setup(user="u@v", password=source))
    assert 'password = { command = ["pass", "show", "vc \\"reader\\""] }' in text
    assert {one.password for one in load(text)} == {source}


def test_prompt_and_authority(tmp_path: Path) -> None:
    """A password may be typed, and a certificate authority stated."""
    (tmp_path / "ca.pem").touch()
    setup = Setup(user="u@v", password=PasswordSource("prompt", "x"), ca_bundle="ca.pem", rpo="7d")
    path = tmp_path / "fleet.toml"
    path.write_text(format_fleet(NEW, setup), encoding="utf-8")
    fleet = Fleet.load(path)
    assert {one.password for one in fleet} == {PasswordSource("prompt", "the fleet")}
    assert {one.ca_bundle for one in fleet} == {tmp_path / "ca.pem"}


def test_lines_of_40() -> None:
    """A fleet of 40 appliances has 51 lines."""
    hosts = [ListedHost(host=f"vc-{number}.test", name=f"vc-{number}") for number in range(40)]
    assert len(format_fleet(hosts, SETUP).splitlines()) == 51


@pytest.mark.parametrize(
    "text",
    [
        format_fleet(NEW[:0], SETUP),
        'appliance = [ # all\n  { name = "a", host = "a" } \n]\nx = [\n"]",\n]\n# end\n',
        'appliance = [\r\n  { name = "a", host = "a" },\r\n  ] # c\r\n[policy]\r\n',
        '[[appliance]]\nname = "a"\nhost = "a"\n\n[policy]\nrpo = "24h"',
        "",
        read_example(),
    ],
)
def test_addition(text: str) -> None:
    """Appliances are added to either form; each old line stays, with its line ends."""
    added = add_appliances(text, NEW)
    old, new = tomllib.loads(text), tomllib.loads(added)
    assert new == {**old, "appliance": new["appliance"]}
    assert new["appliance"] == [
        *old.get("appliance", []),
        {"name": 'vc "8"', "host": "vc-8.test", "site": "Kiel"},
        {"name": "vc-9", "host": "vc-9.test"},
    ]
    ends = {line[len(line.rstrip()) :] for line in added.splitlines(keepends=True)}
    assert len(ends - {" \n"}) == 1
    lines = [line.rstrip().removesuffix(",") for line in added.splitlines()]
    assert set(lines) >= {line.rstrip().removesuffix(",") for line in text.splitlines()}


def test_no_place() -> None:
    """If no line can be added, the error has the lines."""
    text = 'appliance = [{ name = "a", host = "a" }]\n'
    with pytest.raises(SettingsError, match=r"mine.toml: there is no place .*\n  \{ name = \"vc"):
        add_appliances(text, NEW, source="mine.toml")
