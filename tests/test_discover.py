"""`backupkit discover`: the nodes of the SSO domain against fleet.toml."""

import io
import json
import sys
from pathlib import Path

import pytest

from backupkit import Appliance, Fleet, Limits
from backupkit.cli import main
from backupkit.diagnostics import Discovery, discover
from backupkit.diagnostics.nodes import match_nodes, resolve_host
from backupkit.errors import PayloadError
from backupkit.passwords import PasswordSource
from backupkit.simulator import Scenario
from backupkit.simulator.faults import Fault
from backupkit.wire import Flavour, Node, decode_nodes
from tests.builders import appliance
from tests.conftest import EPOCH, OddServer, Simulated, simulated

NODES = "GET /api/vcenter/topology/nodes"
ONCE = Limits(attempts=1)


def without(running: Simulated, *names: str) -> Path:
    """Remove appliances from fleet.toml; return the file."""
    head, *blocks = running.path.read_text().split("[[appliance]]")
    kept = [block for block in blocks if block.split('"')[1] not in names]
    running.path.write_text("[[appliance]]".join([head + "# kept\n", *kept]))
    return running.path


def hosts_of(found: Discovery) -> list[str]:
    """Return the hosts of the missing nodes."""
    return [node.host for node in found.missing]


class TestDecode:
    """decode_nodes()."""

    @pytest.mark.parametrize(
        ("value", "nodes"),
        [
            ([], []),
            ([{"node": "a", "x": 1}, {"node": "A"}], [Node("a")]),
            ({"node": "a", "type": "PSC_EXTERNAL"}, [Node("a", "PSC_EXTERNAL")]),
            ([{"node": "a", "type": 7}], [Node("a")]),
        ],
    )
    def test_lists(self, value: object, nodes: list[Node]) -> None:
        """A node is there once; a list of one may lack its brackets; odd types are empty."""
        assert decode_nodes(json.dumps(value).encode(), Flavour.API) == (nodes, {})
        assert decode_nodes(json.dumps({"value": value}).encode(), Flavour.REST) == (nodes, {})

    @pytest.mark.parametrize("item", [7, {}, {"node": ""}, {"node": None}, {"node": "a\x1b"}])
    def test_items(self, item: object) -> None:
        """An item without a usable node is an error, and hides no other."""
        nodes, errors = decode_nodes(json.dumps([item, {"node": "b"}]).encode(), Flavour.API)
        assert nodes == [Node("b")]
        assert errors["item 1"].problem == "item 1 of the nodes of the SSO domain has no node"

    @pytest.mark.parametrize(
        ("body", "message"),
        [
            (b"7", "is no list"),
            (b'{"a": []}', "is no list"),
            (b"<p>", "is HTML"),
            (b"[", "damaged"),
        ],
    )
    def test_other_bodies(self, body: bytes, message: str) -> None:
        """Another body is an error."""
        for flavour in Flavour:
            with pytest.raises(PayloadError, match=message):
                decode_nodes(body, flavour)
        with pytest.raises(PayloadError, match="is no list"):
            decode_nodes(b"[]", Flavour.REST)


class TestMatch:
    """match_nodes()."""

    @pytest.mark.parametrize(
        ("node", "host", "same"),
        [
            ("VC-1.test", "vc-1.test:8443", True),
            ("vc-1", "vc-1.test", True),
            ("vc-1.test", "vc-1", True),
            ("vc-1.test", "vc-1.test.example", False),
            ("vc-1.test", "vc-10", False),
            ("10.0.0.1:1", "10.0.0.1:2", False),
            ("10.0.0.1", "10.0.0.1:2", True),
            ("2001:db8::1", "[2001:DB8::1]:8443", True),
            ("10", "10.0.0.1", False),
            ("alias", "vc-9.test", True),
            ("alias", "10.0.0.9", True),
            ("alias:1", "10.0.0.9:2", False),
            ("nowhere", "vc-9.test", False),
        ],
    )
    def test_same(self, node: str, host: str, same: bool) -> None:  # noqa: FBT001 # a parameter
        """Names are compared first, then addresses; ports only if both have one."""

        def resolve(name: str) -> frozenset[str]:
            addresses = {"alias": "10.0.0.9", "vc-9.test": "10.0.0.9", "10.0.0.9": "10.0.0.9"}
            return frozenset({addresses[name]} if name in addresses else ())

        [found] = match_nodes([Node(node)], [appliance("a", host=host)], resolve)
        assert found.appliance == ("a" if same else None)

    def test_shared_address(self) -> None:
        """An address of several appliances identifies none."""
        fleet = [appliance(f"a{port}", host=f"10.0.0.1:{port}") for port in (1, 2)]
        [found] = match_nodes([Node("x")], fleet, lambda _host: frozenset({"10.0.0.1"}))
        assert found.appliance is None

    def test_no_lookup(self) -> None:
        """Nothing is looked up if each appliance is matched."""
        [one, two] = match_nodes(
            [Node("vc-1"), Node("vc-2", "PSC_EXTERNAL")],
            [appliance("a", host="vc-1")],
            dict[str, frozenset[str]]().__getitem__,
        )
        assert (one.is_missing, two.is_missing) == (False, False)

    def test_impossible_name(self) -> None:
        """A name that cannot be resolved has no address."""
        assert resolve_host("a" * 70 + ".test") == frozenset()
        assert resolve_host("x.invalid") == frozenset()


class TestDiscover:
    """discover()."""

    def test_one_login_per_domain(self, own_demo: Simulated) -> None:
        """Each domain is read from one appliance; the demo has a domain for each site."""
        found = discover(own_demo.fleet)
        assert len(found.nodes) == 12
        assert (hosts_of(found), found.unlisted, found.unread) == ([], (), {})
        asked = {request.appliance for request in own_demo.appliances.requests}
        assert len(asked) == found.asked - 1 <= 6  # one is off
        assert own_demo.appliances.open_sessions == 0

    def test_missing(self, own_demo: Simulated) -> None:
        """A node that fleet.toml lacks is missing, but for a Platform Services Controller."""
        domain = own_demo.appliances["vc-ham-01"].domain
        domain.others += [("vc-new.test", "VCSA_EMBEDDED"), ("psc.test", "PSC_EXTERNAL")]
        path = without(own_demo, "vc-tyo-01")
        hosts = ["vc-new.test", own_demo.appliances["vc-tyo-01"].host]
        assert sorted(hosts_of(discover(Fleet.load(path)))) == sorted(hosts)

    def test_unread(self, own_demo: Simulated) -> None:
        """A domain that nobody could list is unknown; an appliance that another lists is not."""
        own_demo.appliances.set_faults(
            [Fault("not_found", 1, "vc-ham-*", "other"), Fault("forbidden", 1, "vc-nyc-*", "other")]
        )
        found = discover(own_demo.fleet, limits=ONCE)
        assert {name[:6] for name in found.unread} == {"vc-ham", "vc-nyc"}
        assert len(found.unread) == 8
        assert found.unread["vc-ham-02"].startswith("the appliance did not find the nodes of th")
        assert "needs the privilege System.Read) (403)" in found.unread["vc-nyc-01"]
        assert {node.appliance for node in found.nodes} == {f"vc-tyo-0{n}" for n in range(1, 5)}

    def test_too_old(self, own_demo: Simulated) -> None:
        """A version without a list is named with the next step; a newer one without it is odd."""
        for number in range(1, 5):
            own_demo.appliances.upgrade(f"vc-ham-0{number}", "6.5")
        own_demo.appliances.upgrade("vc-nyc-01", "6.5")
        found = discover(own_demo.fleet, limits=ONCE)
        assert found.unread == {}
        assert list(found.too_old) == [f"vc-ham-0{number}" for number in range(1, 5)]
        assert found.too_old["vc-ham-01"] == (
            "version 6.5.0.37000 does not list the nodes of its SSO domain, which needs 6.7 Update "
            "2 or later. Ask a newer vCenter of the same domain, or compare fleet.toml with the "
            "vSphere Client by hand."
        )
        assert (len(found.nodes), found.outside) == (8, ())

    def test_newer_without_list(self, odd: OddServer) -> None:
        """A newer version that has no list is not too old; the error is named."""
        odd.serve_api()
        odd.respond(NODES, b"{}", 404)
        found = discover([odd.appliance()])
        assert found.too_old == {}
        assert found.unread["vc-odd"].startswith("the appliance did not find the nodes of the SSO")

    def test_odd_answers(self, odd: OddServer) -> None:
        """An answer that does not follow the API, or lists others only, is reported."""
        odd.serve_api()
        one = odd.appliance()
        odd.respond(NODES, b"{}")
        assert "does not follow the API: it is no list" in discover([one]).unread["vc-odd"]
        odd.respond(NODES, b"[7]")
        assert "item 1 of the nodes" in discover([one]).unread["vc-odd"]
        odd.respond(NODES, b'[{"node": "other.invalid"}]')
        found = discover([one])
        assert (found.unlisted, hosts_of(found)) == (("vc-odd",), ["other.invalid"])

    def test_interrupted(self, own_demo: Simulated, monkeypatch: pytest.MonkeyPatch) -> None:
        """Ctrl-C ends it."""

        def interrupt(*_args: object, **_kwargs: object) -> None:
            raise KeyboardInterrupt

        monkeypatch.setattr("backupkit.diagnostics.discovery.match_nodes", interrupt)
        with pytest.raises(KeyboardInterrupt):
            discover(own_demo.fleet)

    def test_two_without_password(self) -> None:
        """A password source that has none is read once, and named for each appliance."""
        source = PasswordSource("file", "/none")
        fleet = [
            Appliance(name=name, host="127.0.0.1:1", user="u@v", password=source) for name in "ab"
        ]
        assert list(discover(fleet).unread) == ["a", "b"]


class TestCommand:
    """backupkit discover."""

    def test_complete(self, demo: Simulated, capsys: pytest.CaptureFixture[str]) -> None:
        """Nodes, types and names are listed; a complete fleet.toml gives 0."""
        assert main(["discover", "--fleet", str(demo.path)]) == 0
        out, err = capsys.readouterr()
        lines = out.splitlines()
        assert lines[0].split() == ["NODE", "TYPE", "IN", "FLEET.TOML"]
        assert lines[1].split() == [demo.fleet["vc-ham-01"].host, "vCenter", "Server", "vc-ham-01"]
        assert (len(lines), err) == (13, "")

    def test_add(self, own_demo: Simulated, capsys: pytest.CaptureFixture[str]) -> None:
        """--add appends what is missing, and keeps the rest of the file."""
        path = without(own_demo, "vc-ham-02", "vc-nyc-01")
        before = path.read_text()
        path.chmod(0o640)
        argv = ["discover", "--fleet", str(path)]
        assert main(argv) == 3
        out, err = capsys.readouterr()
        assert out.count(" missing\n") == 2
        assert f"2 of 12 nodes missing in {path}. Add them with: backupkit discover --add" in err
        assert main([*argv, "--add", "--yes", "--json"]) == 0
        document = json.loads(capsys.readouterr().out)
        assert len(document["missing"]) == 2
        assert path.read_text().startswith(before)
        assert path.stat().st_mode & 0o777 == 0o640
        assert [path.name for path in path.parent.glob(".*")] == []
        added = [Fleet.load(path)[name].host for name in document["added"]]
        assert added == document["missing"]
        assert main([*argv, "--add"]) == 0
        assert capsys.readouterr().err == ""

    def test_question(
        self,
        own_demo: Simulated,
        capsys: pytest.CaptureFixture[str],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """Hosts that an appliance names are added after a question, and never by a script alone."""
        path = without(own_demo, "vc-ham-02")
        host = own_demo.appliances["vc-ham-02"].host
        argv = ["discover", "--add", "--fleet", str(path), "vc-ham-01"]
        before = path.read_bytes()
        monkeypatch.setattr(sys, "stdin", io.StringIO())
        assert main(argv) == 1
        assert (
            f"not added: {host}. The next command sends the credentials of"
            in capsys.readouterr().err
        )
        monkeypatch.setattr("sys.stderr.isatty", lambda: True)
        for answer, code in (("n", 130), ("y", 0)):
            assert path.read_bytes() == before
            monkeypatch.setattr(sys, "stdin", io.StringIO(f"{answer}\n"))
            monkeypatch.setattr("sys.stdin.isatty", lambda: True)
            assert main(argv) == code
            assert f"Add {host}? The next command sends" in capsys.readouterr().err
        assert host in [one.host for one in Fleet.load(path)]

    def test_check(self, own_demo: Simulated, capsys: pytest.CaptureFixture[str]) -> None:
        """--check prints a line for a monitoring plug-in, with its exit codes."""
        path = own_demo.path
        argv = ["discover", "--check", "--fleet", str(path)]
        assert main(argv) == 0
        out, err = capsys.readouterr()
        assert out.startswith("OK: 0 of 12 nodes of the SSO domains missing in fleet.toml | ")
        assert out.endswith(" | missing=0;0;;0 nodes=12;;;0 unread=0;;;0 too_old=0;;;0\n")
        assert err == ""
        own_demo.appliances.set_faults([Fault("not_found", 1, "vc-ham-*", "other")])
        assert main(argv) == 3
        out = capsys.readouterr().out
        names = "vc-ham-01, vc-ham-02, vc-ham-03, vc-ham-04"
        assert out.startswith("UNKNOWN: 0 of 8 nodes of the SSO domains missing in fleet.toml; ")
        assert f"the SSO domain is unknown of {names} | missing=0;0;;0 nodes=8;;;0 un" in out
        own_demo.appliances.set_faults([])
        for name in names.split(", "):
            own_demo.appliances.upgrade(name, "6.5")
        assert main(argv) == 0
        out = capsys.readouterr().out
        assert out.startswith("OK: 0 of 8 nodes of the SSO domains missing in fleet.toml; before 6")
        assert f"Update 2, so to compare by hand: {names} | missing=0;0;;0 nodes=8;;;0 un" in out
        assert out.endswith(" unread=0;;;0 too_old=4;;;0\n")
        own_demo.appliances["vc-tyo-01"].domain.others.append(("new|1.test", "VCSA_EMBEDDED"))
        assert main(argv) == 1
        assert capsys.readouterr().out.startswith("WARNING: 1 of 9 nodes of the SSO domains missin")
        assert main([*argv, "vc-ham-01"]) == 3
        assert capsys.readouterr().out.startswith("UNKNOWN: 0 of 0 nodes")
        assert main([*argv, "--add"]) == 3
        assert capsys.readouterr().out == "UNKNOWN: --check changes nothing: leave out --add.\n"
        path.write_text("x|y")
        assert main(argv) == 3
        out, err = capsys.readouterr()
        assert out.startswith(f"UNKNOWN: {path}: is not valid TOML")
        assert ("|" in out, err) == (False, "")

    def test_added_is_named(self, own_demo: Simulated, capsys: pytest.CaptureFixture[str]) -> None:
        """The names of the added appliances and the next step are printed."""
        own_demo.appliances["vc-ham-01"].domain.others += [
            ("vc-new.test", "VCSA_EXTERNAL"),
            ("psc.test", "PSC_EXTERNAL"),
            ("odd.test", "ODD"),
        ]
        assert main(["discover", "--add", "-y", "--fleet", str(own_demo.path), "vc-ham-03"]) == 0
        out, err = capsys.readouterr()
        assert "vc-new.test      vCenter Server, external PSC  missing" in out
        assert "psc.test         Platform Services Controller  no vCenter Server" in out
        names = "vc-nyc-01, vc-nyc-02, vc-nyc-03, vc-nyc-04, vc-tyo-01 and 3 more"
        assert f"In {own_demo.path}, but in none of these SSO domains: {names}\n" in err
        assert (
            f"Added to {own_demo.path}: vc-new, odd. Next: backupkit doctor --fleet {own_demo.path}"
            in err
        )

    def test_read_only(
        self,
        own_demo: Simulated,
        capsys: pytest.CaptureFixture[str],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """If the file cannot be replaced, it stays as it was, and nothing is left beside it."""
        own_demo.appliances["vc-ham-01"].domain.others.append(("vc-new.test", ""))
        before = own_demo.path.read_bytes()

        def refuse(*_args: object) -> None:
            raise PermissionError(13, "Permission denied")

        monkeypatch.setattr(Path, "replace", refuse)
        assert main(["discover", "--add", "-y", "--fleet", str(own_demo.path)]) == 1
        assert "cannot be written: Permission denied" in capsys.readouterr().err
        assert own_demo.path.read_bytes() == before
        assert list(own_demo.path.parent.glob(".*")) == []

    def test_host_without_a_file(
        self, odd: OddServer, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A host with its own user needs no fleet.toml."""
        monkeypatch.chdir(odd.ca_bundle.parent)
        odd.serve_api()
        options = ["--user", "u@v", "--password-from", "env:VCSA_PASSWORD"]
        trust = ["--ca-bundle", str(odd.ca_bundle)]
        assert main(["discover", odd.host, *options, *trust]) == 3
        out, err = capsys.readouterr()
        assert f"{odd.host}  vCenter Server  missing" in out
        assert err.endswith(
            "There is no fleet.toml. Write one with: backupkit init --discover " + odd.host + "\n"
        )
        assert main(["discover", odd.host]) == 1
        assert "State its user and the source of its password" in capsys.readouterr().err
        assert main(["discover", odd.host, *options, "--ca-bundle", "none"]) == 1
        assert '--ca-bundle: no such file "none"' in capsys.readouterr().err

    @pytest.mark.parametrize("command", ["discover", "check"])
    def test_advice_without_a_file(
        self,
        odd: OddServer,
        tmp_path: Path,
        capsys: pytest.CaptureFixture[str],
        monkeypatch: pytest.MonkeyPatch,
        command: str,
    ) -> None:
        """Advice for a host of an option names the options, and no fleet.toml."""
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("BACKUPKIT_PASSWORD", "wrong")
        odd.serve_api()

        def find_advice(host: str, *options: str) -> str:
            argv = ["discover", host, "--password-from", "env:BACKUPKIT_PASSWORD"]
            if command == "check":
                argv = ["check", "--host", host, "--max-age", "1d"]
            assert main([*argv, "--user", "u@v", *options]) in {3, 4}
            text = "".join(capsys.readouterr())
            assert "fleet.toml" not in text
            return text

        text = find_advice(odd.host)
        assert "as a PEM file and name the file: --ca-bundle ca.pem. Or, if the appliance" in text
        pin = text.partition("trust it alone: --fingerprint ")[2][:71]
        trust = ["--fingerprint", pin]
        odd.respond("POST /api/session", b"{}", 401)
        assert "Check --user and its password." in find_advice(odd.host, *trust)
        text = find_advice(odd.host, "--fingerprint", "0" * 64)
        assert f"is not the one pinned by --fingerprint: it is {pin}." in text
        assert "state the new fingerprint" in text
        port = odd.host.rpartition(":")[2]
        ca_bundle = ["--ca-bundle", str(odd.ca_bundle)]
        assert "Name the appliance by that name" in find_advice(f"localhost:{port}", *ca_bundle)
        assert "Check the address and the port," in find_advice("127.0.0.1:1")
        assert "Check the spelling of the host," in find_advice("vc.invalid")

    def test_nothing_read(self, odd: OddServer, capsys: pytest.CaptureFixture[str]) -> None:
        """If no domain could be read, the exit code is 4, with the reason."""
        path = odd.ca_bundle.with_name("fleet.toml")
        head = '[defaults]\nuser = "u@v"\npassword = { env = "VCSA_PASSWORD" }\n'
        path.write_text(head)
        argv = ["discover", "--fleet", str(path)]
        assert main(argv) == 1
        assert "no appliance to ask" in capsys.readouterr().err
        entry = f'[[appliance]]\nname = "a"\nhost = "{odd.host}"\nca_bundle = "odd-ca.pem"\n'
        path.write_text(head + entry)
        assert main(argv) == 4
        out, err = capsys.readouterr()
        assert out == ""
        assert err.startswith("a: its SSO domain is unknown: the appliance did not find the login")
        odd.serve_api()
        odd.respond(NODES, b'[{"node": "other.invalid"}]')
        assert main(argv) == 3
        assert "a: no list has the address of this appliance" in capsys.readouterr().err


def test_init_discovers(
    own_demo: Simulated,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Init with --discover makes a fleet.toml of one host and its SSO domain."""
    host = own_demo.appliances["vc-ham-01"].host
    options = ["--user", own_demo.appliances["vc-ham-01"].user]
    options += ["--password-from", f"file:{own_demo.path.with_suffix('.password')}"]
    options += ["--ca-bundle", str(own_demo.path.with_suffix(".ca.pem"))]
    path = tmp_path / "new.toml"
    assert main(["init", host, "--discover", "--yes", "-o", str(path), *options]) == 0
    fleet = Fleet.load(path)
    site = [one.host for one in own_demo.fleet if one.site == "Hamburg"]
    assert [one.host for one in fleet] == site
    assert f"Found in the SSO domain: {', '.join(site[1:])}" in capsys.readouterr().err
    assert main(["discover", "--fleet", str(path)]) == 0
    capsys.readouterr()
    assert main(["init", "127.0.0.1:1", "--discover", "--yes", "-o", "-"]) == 0
    assert "127.0.0.1: its SSO domain is unknown: " in capsys.readouterr().err
    monkeypatch.setenv("BACKUPKIT_PASSWORD", "x")
    assert main(["init", host, "--discover", "--yes", "-o", "-"]) == 0
    assert capsys.readouterr().err.endswith("name the file: --ca-bundle ca.pem.\n")


@pytest.mark.parametrize("flavour", ["api", "rest"])
def test_flavours(flavour: str, tmp_path: Path) -> None:
    """Both flavours have the list."""
    scenario = Scenario.steady(appliances=2, jobs=1, epoch=EPOCH, flavours=(flavour,))
    with simulated(scenario, tmp_path) as running:
        assert [node.type for node in discover(running.fleet).nodes] == ["VCSA_EMBEDDED"] * 2
