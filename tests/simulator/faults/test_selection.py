"""The choice of requests with a fault."""

from collections import Counter
from collections.abc import Sequence

import pytest

from backupkit.simulator import Fault
from backupkit.simulator.faults.fault import Faults, route_of
from backupkit.simulator.wire import Request

NAMES = ("vc-1", "vc-2", "other")
LIST = Request(method="GET", target="/api/appliance/recovery/backup/job")
LOG_IN = Request(method="POST", target="/rest/com/vmware/cis/session")


def kinds(faults: Faults, requests: Sequence[Request], name: str = "vc-1") -> list[str]:
    """Return the kinds of faults of some requests, empty for none."""
    drawn = (faults.select(name, request) for request in requests)
    return ["" if fault is None else fault.kind for fault in drawn]


class TestRouteOf:
    """`route_of`."""

    @pytest.mark.parametrize("flavour", ["api", "rest"])
    @pytest.mark.parametrize(
        ("path", "name"),
        [
            ("recovery/backup/job", "list"),
            ("recovery/backup/job/details?jobs=a", "details"),
            ("recovery/backup/job/a%2Fb", "job"),
            ("recovery/backup/schedules", "schedules"),
            ("recovery/backup/schedules/default", "schedules"),
            ("system/version", "version"),
            ("system/time/timezone", "timezone"),
            ("recovery/backup/parts", "other"),
            ("recovery/backup/job/a/b", "other"),
        ],
    )
    def test_reading(self, flavour: str, path: str, name: str) -> None:
        """Read requests have the same route in both flavours."""
        assert route_of(Request(method="GET", target=f"/{flavour}/appliance/{path}")) == name

    @pytest.mark.parametrize(
        ("method", "target", "name"),
        [
            ("POST", "/api/session", "log-in"),
            ("DELETE", "/api/session", "log-out"),
            ("GET", "/api/session", "other"),
            ("POST", "/rest/com/vmware/cis/session", "log-in"),
            ("DELETE", "/rest/com/vmware/cis/session", "log-out"),
            ("POST", "/rest/com/vmware/cis/session?~action=get", "other"),
            ("POST", "/api/appliance/recovery/backup/job", "other"),
            ("POST", "/api/appliance/recovery/backup/job/a?action=cancel", "other"),
        ],
    )
    def test_others(self, method: str, target: str, name: str) -> None:
        """Sessions have two routes; write requests have none."""
        assert route_of(Request(method=method, target=target)) == name


class TestFaults:
    """`Faults`."""

    def test_nothing(self) -> None:
        """Without faults no request is affected."""
        assert kinds(Faults([], seed=1, names=NAMES), [LIST] * 3) == [""] * 3

    def test_appliances(self) -> None:
        """A name means one appliance, a pattern those that match."""
        faults = Faults([Fault("slow", 1, "other"), Fault("cut", 1, "vc*")], seed=1, names=NAMES)
        assert [kinds(faults, [LIST], name) for name in NAMES] == [["cut"], ["cut"], ["slow"]]
        assert [fault.kind for fault in faults.of("other")] == ["slow"]

    def test_bracketed_name(self) -> None:
        """A name that looks like a pattern is a name."""
        faults = Faults([Fault("slow", 1, "vc[1]")], seed=1, names=["vc[1]", "vc1"])
        assert [kinds(faults, [LIST], name) for name in ("vc[1]", "vc1")] == [["slow"], [""]]

    def test_first_wins(self) -> None:
        """Of several faults on a route the first one applies."""
        faults = Faults([Fault("slow", route="list"), Fault("cut")], seed=1, names=NAMES)
        assert kinds(faults, [LIST, LOG_IN]) == ["slow", "cut"]

    def test_times(self) -> None:
        """A limit counts on each appliance, and the next fault applies afterwards."""
        faults = Faults([Fault("slow", times=2), Fault("cut", times=1)], seed=1, names=NAMES)
        for name in NAMES:
            assert kinds(faults, [LIST] * 4, name) == ["slow", "slow", "cut", ""]

    def test_share(self) -> None:
        """Kinds have their shares, and the same seed has the same ones."""
        listed = [Fault("error", 0.2), Fault("reset", 0.3)]
        drawn = kinds(Faults(listed, seed=1, names=NAMES), [LIST] * 2000)
        assert drawn == kinds(Faults(listed, seed=1, names=NAMES), [LIST] * 2000)
        assert drawn != kinds(Faults(listed, seed=2, names=NAMES), [LIST] * 2000)
        assert drawn != kinds(Faults(listed, seed=1, names=NAMES), [LIST] * 2000, "vc-2")
        count = Counter(drawn)
        assert 340 < count["error"] < 460
        assert 520 < count["reset"] < 680

    def test_others_change_nothing(self) -> None:
        """The faults of an appliance do not depend on requests to others."""
        listed = [Fault("error", 0.5)]
        alone = kinds(Faults(listed, seed=1, names=NAMES), [LIST] * 50)
        faults = Faults(listed, seed=1, names=NAMES)
        among = []
        for _ in range(50):
            kinds(faults, [LIST], "vc-2")
            among += kinds(faults, [LIST])
        assert among == alone

    def test_mapping(self) -> None:
        """A mapping leaves log-in and log-out out, unless the kind has no other route."""
        faults = Faults({"slow": 0.5, "cut": 0.5}, seed=1, names=NAMES)
        assert set(kinds(faults, [LIST] * 50)) == {"slow", "cut"}
        assert set(kinds(faults, [LOG_IN] * 50)) == {""}
        faults = Faults({"session_limit": 1}, seed=1, names=NAMES)
        assert kinds(faults, [LIST, LOG_IN]) == ["", "session_limit"]

    def test_mapping_too_large(self) -> None:
        """Rates of a mapping that exceed 1 together are an error."""
        with pytest.raises(ValueError, match="must not exceed 1 together"):
            Faults({"slow": 0.5, "cut": 0.6}, seed=1, names=NAMES)

    def test_no_matching_appliance(self) -> None:
        """A fault without a matching appliance is an error that names some."""
        with pytest.raises(ValueError, match=r"'cut' is for 'vx\*', .* one is 'vc-1'"):
            Faults([Fault("cut", 1, "vx*")], seed=1, names=NAMES)
