"""Large fleets with many faults and many concurrent clients."""

import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import pytest
import requests

from backupkit.simulator import KINDS, Fault, Scenario, SimulatedFleet, mixed_faults
from tests.simulator.faults.conftest import BACKUP

EPOCH = datetime(2026, 11, 23, 14, 0, tzinfo=UTC)
NAMES = [f"vc-{number:04d}" for number in range(1, 501)]


class TestMixedFaults:
    """`mixed_faults`."""

    def test_every_kind(self) -> None:
        """Of 500 appliances every third is faulty, and all kinds are about equally frequent."""
        faults = mixed_faults(NAMES, wait=0.5, size=9)
        assert [fault.appliance for fault in faults] == NAMES[2::3]
        count = Counter(fault.kind for fault in faults)
        assert set(count) == set(KINDS)
        assert max(count.values()) - min(count.values()) <= 1
        assert {(fault.rate, fault.times, fault.wait, fault.size) for fault in faults} == {
            (1.0, None, 0.5, 9)
        }

    def test_seed(self) -> None:
        """The seed changes the kinds, and nothing else."""
        first, second = mixed_faults(NAMES), mixed_faults(NAMES, seed=2)
        assert mixed_faults(NAMES) == first != second
        assert [one.appliance for one in first] == [one.appliance for one in second]

    @pytest.mark.parametrize(("share", "count"), [(0, 0), (0.1, 50), (0.5, 250), (1, 500)])
    def test_share(self, share: float, count: int) -> None:
        """The share is exact."""
        assert len(mixed_faults(NAMES, share)) == count

    def test_refused(self) -> None:
        """A share above 1 is an error."""
        with pytest.raises(ValueError, match="between 0 and 1: 2"):
            mixed_faults(NAMES, 2)


@pytest.fixture
def crowd(tmp_path: Path) -> Callable[[SimulatedFleet, int], list[int]]:
    """Let clients log in, list jobs and log out at every appliance of a fleet."""

    def poll_all(fleet: SimulatedFleet, clients: int) -> list[int]:
        bundle = tmp_path / "ca.pem"
        bundle.write_bytes(fleet.authority)

        def once(name: str) -> int:
            appliance = fleet[name]
            url = f"https://{appliance.host}"
            with requests.Session() as session:
                session.trust_env = False
                session.verify = str(bundle)
                pair = (appliance.user, appliance.password)
                token = session.post(f"{url}/api/session", auth=pair, timeout=60).json()
                session.headers["vmware-api-session-id"] = token
                answer = session.get(f"{url}/api{BACKUP}/job", timeout=60)
                session.delete(f"{url}/api/session", timeout=60)
                return answer.status_code

        with ThreadPoolExecutor(clients) as pool:
            return list(pool.map(once, [appliance.name for appliance in fleet.appliances]))

    return poll_all


class TestLargeFleet:
    """Hundreds of appliances, dozens of clients."""

    def test_many_clients(self, crowd: Callable[[SimulatedFleet, int], list[int]]) -> None:
        """Sixty-four concurrent clients read a large fleet; only the faulty appliances fail."""
        scenario = Scenario.steady(appliances=120, jobs=3, epoch=EPOCH, flavours=("api",))
        names = [spec.name for spec in scenario.specs]
        faults = mixed_faults(names, kinds=("forbidden", "error"))
        faults = [Fault(fault.kind, appliance=fault.appliance, route="list") for fault in faults]
        kinds = {fault.appliance: fault.kind for fault in faults}
        with SimulatedFleet(scenario, clock=lambda: EPOCH, faults=faults) as fleet:
            answered = dict(zip(names, crowd(fleet, 64), strict=True))
            assert fleet.open_sessions == 0
            observed = {one.appliance: one.fault for one in fleet.requests if one.fault}
        status = {"forbidden": 403, "error": 500}
        assert answered == {name: status.get(kinds.get(name, ""), 200) for name in names}
        assert observed == kinds

    def test_closes_on_hanging_clients(self, tmp_path: Path) -> None:
        """A fleet closes while its clients wait in different ways."""
        scenario = Scenario.steady(appliances=40, jobs=3, epoch=EPOCH, flavours=("api",))
        names = [spec.name for spec in scenario.specs]
        hanging = ("drip", "drip_headers", "silence", "slow")
        faults = mixed_faults(names, 1, kinds=hanging, wait=3600)
        bundle = tmp_path / "ca.pem"
        threads = []
        with SimulatedFleet(scenario, clock=lambda: EPOCH, faults=faults) as fleet:
            bundle.write_bytes(fleet.authority)
            for appliance in fleet.appliances:
                pair = (appliance.user, appliance.password)
                thread = threading.Thread(
                    target=hang, args=(f"https://{appliance.host}/api/session", bundle, pair)
                )
                thread.start()
                threads.append(thread)
            while len(fleet.requests) < len(names):
                time.sleep(0.001)
        for thread in threads:
            thread.join(8)
        assert not any(thread.is_alive() for thread in threads)


def hang(url: str, bundle: Path, pair: tuple[str, str]) -> None:
    """Log in, and wait until the other side disconnects."""
    with requests.Session() as session:
        session.trust_env = False
        session.verify = str(bundle)
        with pytest.raises(requests.exceptions.RequestException):
            session.post(url, auth=pair, timeout=60)
