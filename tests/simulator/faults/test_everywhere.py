"""Every kind of fault on each of its routes, in every release."""

import http
from collections.abc import Callable

import pytest

from backupkit.simulator import KINDS, SimulatedAppliance
from backupkit.simulator.faults.fault import route_of
from backupkit.simulator.model import RELEASES
from backupkit.simulator.server import chunks
from backupkit.simulator.wire import Reply, Request

SESSION = ("/api/session", "/rest/com/vmware/cis/session")
PATHS = (
    "recovery/backup/job",
    "recovery/backup/job/details",
    "recovery/backup/job/20261122-230000-1",
    "recovery/backup/schedules",
    "recovery/backup/parts/common",
    "system/version",
    "system/time/timezone",
)
REQUESTS = (
    *((method, path) for path in SESSION for method in ("POST", "DELETE")),
    *(("GET", f"/{flavour}/appliance/{path}") for flavour in ("api", "rest") for path in PATHS),
)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["vc-ham-01", "vc-ham-04", "vc-tyo-04"])
def test_answers(
    make: Callable[..., SimulatedAppliance],
    faulty_reply: Callable[..., Reply],
    kind: str,
    name: str,
) -> None:
    """There is a response with a history, with a running job and without any job."""
    for version in RELEASES:
        appliance = make(name, version=version)
        for method, target in REQUESTS:
            if route_of(Request(method=method, target=target)) not in KINDS[kind].routes:
                continue
            reply = faulty_reply(appliance, kind, target, method, size=1000)
            assert reply.status in {0, *http.HTTPStatus}
            assert sum(map(len, chunks(reply))) > 0 or kind in {"reset", "silence"}
