"""Hosts of lists, CSV files and Ansible inventories."""

import contextlib
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backupkit.errors import SettingsError
from backupkit.inventory import ListedHost, parse_host, read_source, read_text

pytestmark = pytest.mark.property

INI = """
# vCenters
vc-0.example.com   ; no group
[prod]
vc-1.example.com site=Kiel
vc-2 ansible_host=10.0.0.2 ansible_user=root # the old one
[test]
vc-2
"vc-3"  ansible_host='vc-3.example.com' note
[lab:children]
test
lab
[prod:vars]
site = "Hamburg"
[all:vars]
site=Berlin
"""


def read(text: str, *, source: str = "hosts.txt", only: str | None = None) -> list[ListedHost]:
    """Return the hosts of a text."""
    return read_text(text, source=source, only=only)


def hosts_of(text: str, *, only: str | None = None) -> list[str]:
    """Return the hosts of a text, without what it says about them."""
    return [host.host for host in read(text, only=only)]


class TestHost:
    """parse_host()."""

    @pytest.mark.parametrize(
        ("text", "host"),
        [
            (" vc-1.example.com. ", "vc-1.example.com"),
            ("vc-1:8443", "vc-1:8443"),
            ("vc-1:443", "vc-1"),
            ("HTTPS://reader:secret@vc-1:8443/ui?x=1", "vc-1:8443"),
            ("::1", "[::1]"),
            ("[::1]:8443", "[::1]:8443"),
        ],
    )
    def test_address(self, text: str, host: str) -> None:
        """URLs, ports of HTTPS and bare IPv6 addresses become hosts of fleet.toml."""
        assert parse_host(text) == host


class TestList:
    """A text file of hosts."""

    def test_lines(self) -> None:
        """A line may have several hosts, and a comment."""
        text = "vc-1\n\n# old\nvc-2, vc-3 # new\n[2001:db8::1]:8443\n"
        assert [(host.host, host.place) for host in read(text)] == [
            ("vc-1", "hosts.txt, line 1"),
            ("vc-2", "hosts.txt, line 4"),
            ("vc-3", "hosts.txt, line 4"),
            ("[2001:db8::1]:8443", "hosts.txt, line 5"),
        ]

    def test_empty(self) -> None:
        """A file without hosts is an error with an example."""
        with pytest.raises(SettingsError, match=r"hosts.txt: no host was found\. .*name,host,site"):
            read("# none\n")

    def test_group(self) -> None:
        """A list has no groups."""
        with pytest.raises(SettingsError, match=r'no group "prod"\. Leave out --only'):
            read("vc-1", only="prod")


class TestCsv:
    """A CSV file with a header."""

    def test_headings(self) -> None:
        """Headings are found by their usual names, in any order; other columns are ignored."""
        text = (
            '\nSerial No.;"FQDN";Display Name;Location;Environment;Time Zone\n'
            "1;vc-1.example.com;vc one;Köln;prod;Europe/Berlin\n\n"
            "2;vc-2.example.com;;;\n"
        )
        assert read(text, source="h.csv") == [
            ListedHost(
                host="vc-1.example.com",
                name="vc one",
                keys={"site": "Köln", "group": "prod", "timezone": "Europe/Berlin"},
                place="h.csv, line 3",
            ),
            ListedHost(host="vc-2.example.com", keys={}, place="h.csv, line 5"),
        ]

    def test_by_excel(self) -> None:
        """The line that names the delimiter is no header."""
        assert hosts_of("sep=|\nhost|name\nvc-1|a\n") == ["vc-1"]

    def test_only_names(self) -> None:
        """Without a column of hosts, the names are the hosts."""
        [host] = read("name\nvc-1.example.com\n")
        assert (host.host, host.name) == ("vc-1.example.com", None)

    def test_address_and_name(self) -> None:
        """A full host name counts more than an address, as certificates have it."""
        text = "Name,IP Address\nvc-1.test,10.0.0.1\nvc 2,10.0.0.2\nvc-3,[::1]:8443\n1.2,10.0.0.4\n"
        assert [(host.host, host.name) for host in read(text)] == [
            ("vc-1.test", None),
            ("10.0.0.2", "vc 2"),
            ("[::1]:8443", "vc-3"),
            ("10.0.0.4", "1.2"),
        ]

    def test_one_group(self) -> None:
        """Only the rows of a group are read, if one is stated."""
        text = "host,env\nvc-1,prod\nvc-2,test\nvc-3,\n"
        assert hosts_of(text, only="test") == ["vc-2"]
        with pytest.raises(SettingsError, match='no host was found in the group "x"'):
            hosts_of(text, only="x")

    def test_quoted_line_break(self) -> None:
        """Lines of a field become one; the line of an error is the row's last."""
        [first, second] = read('host,city\nvc-1,"a\nb"\nvc-2,c\n')
        assert (first.keys["site"], second.place) == ("a b", "hosts.txt, line 4")

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("name,host\nvc-1,\n", "h.csv, line 2: the host is missing"),
            ("name,site\n,Kiel\n", "h.csv, line 2: the name is missing"),
            ("Gerät;Ort\nvc-1;Kiel\n", "h.csv: no column has the hosts; there are: Gerät, Ort"),
            ("host\n" + "x" * 140_000, "h.csv, line 2: field larger than"),
            ("host\nvc\x081\n", "line 2: host: the text has a control character. Remove it in an"),
            ("host,city\nvc-1,a\x00\n", "h.csv, line 2: site: the text has a control character"),
        ],
    )
    def test_errors(self, text: str, message: str) -> None:
        """An error names the file, and the line or the columns."""
        with pytest.raises(SettingsError, match=message):
            read(text, source="h.csv")


class TestAnsibleIni:
    """An Ansible inventory in the INI format."""

    def test_hosts(self) -> None:
        """Hosts have the variables of their groups, and the first group as their label."""
        assert [(host.host, host.name, dict(host.keys)) for host in read(INI)] == [
            ("vc-0.example.com", None, {"site": "Berlin"}),
            ("vc-1.example.com", None, {"site": "Kiel", "group": "prod"}),
            ("10.0.0.2", "vc-2", {"site": "Hamburg", "group": "prod"}),
            ("vc-3.example.com", "vc-3", {"site": "Berlin", "group": "test"}),
        ]

    def test_one_group(self) -> None:
        """A group has the hosts of the groups in it."""
        assert hosts_of(INI, only="lab") == ["10.0.0.2", "vc-3.example.com"]
        assert len(hosts_of(INI, only="all")) == 4

    def test_without_groups(self) -> None:
        """A variable is enough to know the format."""
        assert hosts_of("a ansible_host=vc-1.example.com\n") == ["vc-1.example.com"]

    def test_hex_group(self) -> None:
        """A group is no IPv6 address, even of hexadecimal digits."""
        assert hosts_of("[cafe]\nvc-1\n[db:children]\ncafe\n") == ["vc-1"]

    def test_range(self) -> None:
        """A range of hosts is an error with the command that resolves it."""
        with pytest.raises(
            SettingsError, match=r"range of hosts\. .*ansible-inventory --inventory"
        ):
            read("[prod]\nvc-[01:40].example.com\n")

    def test_quotation_mark(self) -> None:
        """A quotation mark without its pair is an error with the line."""
        with pytest.raises(SettingsError, match=r"the line \"vc-1 note='x\" has a quotation mark"):
            read("[prod]\nvc-1 note='x\n")


class TestAnsibleJson:
    """The output of ansible-inventory --list."""

    def test_hosts(self) -> None:
        """Hosts have their variables; only texts are read of them."""
        document = {
            "_meta": {"hostvars": {"vc-1": {"ansible_host": "10.0.0.1", "site": "Kiel", "n": 1}}},
            "all": {"children": ["ungrouped", "prod"]},
            "prod": {"children": ["west"]},
            "west": {"hosts": ["vc-1", 7]},
            "ungrouped": {"hosts": ["vc-0.example.com"]},
        }
        hosts = read(json.dumps(document), source="hosts.json")
        assert [(host.host, host.name, dict(host.keys)) for host in hosts] == [
            ("10.0.0.1", "vc-1", {"site": "Kiel", "group": "west"}),
            ("vc-0.example.com", None, {}),
        ]
        assert hosts_of(json.dumps(document), only="prod") == ["10.0.0.1"]

    @pytest.mark.parametrize("text", ["{", '{"a": []}', '{"_meta": 1, "all": {"hosts": 3}}'])
    def test_other_json(self, text: str) -> None:
        """JSON of something else is an error with the command that writes an inventory."""
        with pytest.raises(SettingsError, match="ansible-inventory --inventory FILE --list"):
            read(text)

    @pytest.mark.parametrize("text", ['["vc-1.test"]', "7", ""])
    def test_no_object(self, text: str) -> None:
        """A JSON file of something else is no list of hosts."""
        with pytest.raises(SettingsError, match=r"hosts\.json: .* ansible-inventory --inventory"):
            read(text, source="hosts.json")


class TestFile:
    """read_source()."""

    def test_encodings(self, tmp_path: Path) -> None:
        """Byte order marks and UTF-16 are no obstacle, other encodings are an error."""
        path = tmp_path / "hosts.csv"
        for encoding in ("utf-8-sig", "utf-16"):
            path.write_bytes("host,site\nvc-1,Köln\n".encode(encoding))
            assert read_source(path)[0].keys == {"site": "Köln"}
        path.write_bytes("host,site\nvc-1,Köln\n".encode("latin-1"))
        with pytest.raises(SettingsError, match=r"hosts.csv: is not UTF-8 text\. Save it again"):
            read_source(path)

    def test_missing(self, tmp_path: Path) -> None:
        """A missing file is an error that names it."""
        with pytest.raises(SettingsError, match=r"none.csv: cannot be read: No such file"):
            read_source(tmp_path / "none.csv")

    def test_toml(self, tmp_path: Path) -> None:
        """A fleet.toml is no list of hosts."""
        with pytest.raises(SettingsError, match=r"fleet.toml: a fleet.toml is no list of hosts"):
            read_source(tmp_path / "fleet.toml")

    def test_yaml(self, tmp_path: Path) -> None:
        """An inventory in YAML is converted by Ansible's own command."""
        with pytest.raises(SettingsError, match=r"hosts.yml --list --output hosts.json"):
            read_source(tmp_path / "hosts.yml")


@given(st.text(alphabet=st.sampled_from("[]:=,;|#{}\"' \n\tvc1.ahostname_"), max_size=60))
def test_any_text(text: str) -> None:
    """Any text gives hosts with a place, or an error of backupkit."""
    with contextlib.suppress(SettingsError):
        for host in read(text):
            assert host.place.startswith("hosts.txt, ")
