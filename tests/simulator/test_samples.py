"""The simulator's responses have the keys and JSON types of the collected samples."""

import dataclasses
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from backupkit.simulator import ApplianceSpec, Fault, Scenario, SimulatedAppliance
from backupkit.simulator.faults.replies import FaultContext, apply_fault
from backupkit.simulator.routes import respond
from backupkit.simulator.wire import Reply, Request

EPOCH = datetime(2026, 11, 23, 14, 0, tzinfo=UTC)
SAMPLES = Path(__file__).parents[1] / "samples" / "api"
BACKUP = "/appliance/recovery/backup"
UNKNOWN = "20000101-000000-1"
Make = Callable[..., SimulatedAppliance]


def differences(sample: object, served: object, at: str = "$") -> list[str]:
    """Return where two JSON values differ in keys or types; empty lists match any list."""
    if type(sample) is not type(served):
        return [f"{at}: {type(sample).__name__} is {type(served).__name__}"]
    if isinstance(sample, dict) and isinstance(served, dict):
        found = [f"{at}.{key}: on one side" for key in sorted(set(sample) ^ set(served))]
        for key in sample.keys() & served.keys():
            found += differences(sample[key], served[key], f"{at}.{key}")
        return found
    if isinstance(sample, list) and isinstance(served, list):
        pairs = ((left, right) for left in sample for right in served)
        return [text for left, right in pairs for text in differences(left, right, f"{at}[]")]
    return []


class TestDifferences:
    """`differences`."""

    @pytest.mark.parametrize(
        ("sample", "served", "expected"),
        [
            ({"a": [1]}, {"a": []}, []),
            ({"a": 1}, {"a": True}, ["$.a: int is bool"]),
            (
                {"a": [{"b": 1}]},
                {"a": [{"c": 1}]},
                ["$.a[].b: on one side", "$.a[].c: on one side"],
            ),
        ],
    )
    def test_differences(self, sample: object, served: object, expected: list[str]) -> None:
        """Missing keys and other types are returned, values are not compared."""
        assert differences(sample, served) == expected


def load(name: str) -> object:
    """Read a sample."""
    return json.loads((SAMPLES / f"{name}.json").read_text(encoding="utf-8"))


def busy(spec: ApplianceSpec, moment: list[datetime]) -> SimulatedAppliance:
    """Return an appliance with a failed scheduled, a good manual and a running manual job."""
    scenario = Scenario(seed=1, epoch=EPOCH, specs=(spec,))
    appliance = SimulatedAppliance(spec, scenario, clock=lambda: moment[0])
    failed = next(job for job in appliance.jobs() if not job.ok)
    moment[0] = appliance.jobs()[appliance.jobs().index(failed) + 1].end  # the retry
    moment[0] += timedelta(minutes=1)
    appliance.create("")
    moment[0] += timedelta(minutes=1)
    return appliance


def ids(appliance: SimulatedAppliance) -> dict[str, str]:
    """Return the ids of that appliance's three kinds of jobs."""
    jobs = appliance.jobs()
    failed = next(index for index, job in enumerate(jobs) if not job.ok)
    return {"FAILED": jobs[failed].id, "SUCCEEDED": jobs[failed + 1].id, "RUNNING": jobs[-1].id}


class Served:
    """Responses of the simulator in the situations of the samples."""

    def __init__(self, make: Make, log_in: Callable[..., Reply], moment: list[datetime]) -> None:
        demo = Scenario.demo(epoch=EPOCH)
        spec = demo.specs[1]
        self.new = busy(dataclasses.replace(spec, version="8.0.3"), moment)
        self.at = moment
        self.make = make
        self.log_in = log_in

    def ask(
        self,
        appliance: SimulatedAppliance,
        target: str,
        *,
        method: str = "GET",
        body: object = None,
        fault: str | None = None,
    ) -> tuple[int, object]:
        """Log in and send one request."""
        token = json.loads(self.log_in(appliance, "rest").body)["value"]
        request = Request(
            method=method,
            target=target,
            headers={"vmware-api-session-id": token},
            body=b"" if body is None else json.dumps(body).encode(),
        )
        if fault is None:
            reply = respond(appliance, request)
        else:
            reply = apply_fault(FaultContext(Fault(fault), appliance, request, seed=1))
        return reply.status, json.loads(reply.body)


@pytest.fixture
def served(make: Make, log_in: Callable[..., Reply], moment: list[datetime]) -> Served:
    """Return the appliances of the samples' situations."""
    return Served(make, log_in, moment)


@pytest.mark.parametrize("flavour", ["api", "rest"])
class TestJobs:
    """Samples about jobs, in both flavours."""

    def test_list(self, served: Served, flavour: str) -> None:
        """The list of ids."""
        status, body = served.ask(served.new, f"/{flavour}{BACKUP}/job")
        assert status == 200
        assert differences(load(f"{flavour}_job_list_200"), body) == []

    def test_failed(self, served: Served, flavour: str) -> None:
        """A failed job."""
        target = f"/{flavour}{BACKUP}/job/{ids(served.new)['FAILED']}"
        status, body = served.ask(served.new, target)
        assert status == 200
        assert differences(load(f"{flavour}_job_get_failed_200"), body) == []

    def test_details(self, served: Served, flavour: str) -> None:
        """The details of a failed, a successful manual, and a running job match their samples."""
        picked = ids(served.new)
        sample, got = (
            load(f"{flavour}_job_details_200"),
            served.ask(served.new, f"/{flavour}{BACKUP}/job/details")[1],
        )
        if flavour == "rest":
            assert isinstance(sample, dict)
            assert isinstance(got, dict)
            sample = {pair["key"]: pair["value"] for pair in sample["value"]}
            got = {pair["key"]: pair["value"] for pair in got["value"]}
        assert isinstance(sample, dict)
        assert isinstance(got, dict)
        for info in sample.values():
            assert differences(info, got[picked[info["status"]]]) == []

    def test_no_such_job(self, served: Served, flavour: str) -> None:
        """A job that does not exist, to the letter."""
        status, body = served.ask(served.new, f"/{flavour}{BACKUP}/job/{UNKNOWN}")
        assert status == 404
        assert body == load(f"{flavour}_error_404_job_not_found")


class TestNewFlavour:
    """Samples of ``/api`` alone."""

    @pytest.mark.parametrize(
        ("name", "key"), [("succeeded", "SUCCEEDED"), ("inprogress", "RUNNING")]
    )
    def test_job(self, served: Served, name: str, key: str) -> None:
        """A successful and a running job."""
        _, body = served.ask(served.new, f"/api{BACKUP}/job/{ids(served.new)[key]}")
        assert differences(load(f"api_job_get_{name}_200"), body) == []

    def test_waiting(self, served: Served) -> None:
        """A scheduled job that has not begun, in both views."""
        appliance = served.make(days=None)
        served.at[0] = EPOCH + timedelta(days=1)
        job = appliance.jobs()[-1]
        served.at[0] = job.start
        _, body = served.ask(appliance, f"/api{BACKUP}/job/{job.id}")
        assert differences(load("api_job_get_none_200"), body) == []
        _, details = served.ask(appliance, f"/api{BACKUP}/job/details?jobs={job.id}")
        sample = load("api_job_details_pending_200")
        assert isinstance(sample, dict)
        assert isinstance(details, dict)
        assert differences([*sample.values()], [*details.values()]) == []

    def test_schedules(self, served: Served) -> None:
        """The schedule."""
        _, body = served.ask(served.new, f"/api{BACKUP}/schedules")
        assert differences(load("api_schedules_list_200"), body) == []

    def test_session(self, served: Served) -> None:
        """The token."""
        reply = served.log_in(served.new, "api")
        assert reply.status == 201
        assert differences(load("api_session_create_201"), json.loads(reply.body)) == []

    def test_in_use(self, served: Served) -> None:
        """A second backup, to the letter."""
        wanted = {"parts": ["common"], "location_type": "NFS", "location": "nfs://h/p"}
        status, body = served.ask(served.new, f"/api{BACKUP}/job", method="POST", body=wanted)
        assert status == 400
        assert body == load("api_error_400_feature_in_use")

    def test_unauthenticated(self, served: Served) -> None:
        """No session."""
        reply = respond(served.new, Request(method="GET", target="/api/session"))
        assert reply.status == 401
        assert differences(load("api_error_401_unauthenticated"), json.loads(reply.body)) == []

    def test_unknown_address(self, served: Served) -> None:
        """An address that does not exist, to the letter."""
        status, body = served.ask(served.new, "/api/nothing")
        assert status == 404
        assert body == load("api_error_404_unknown_url")

    def test_broken(self, served: Served) -> None:
        """An error inside the appliance, to the letter."""
        status, body = served.ask(served.new, f"/api{BACKUP}/job", fault="error")
        assert status == 500
        assert body == load("api_error_500")


class TestLegacyFlavour:
    """Samples of ``/rest`` alone."""

    def test_schedules(self, served: Served) -> None:
        """The schedule of some days."""
        appliance = served.make(version="7.0.1", days=("MONDAY", "THURSDAY"))
        _, body = served.ask(appliance, f"/rest{BACKUP}/schedules")
        assert differences(load("rest_schedules_list_200"), body) == []

    def test_session(self, served: Served) -> None:
        """The token in its envelope."""
        reply = served.log_in(served.new, "rest")
        assert reply.status == 200
        assert differences(load("rest_session_create_200"), json.loads(reply.body)) == []

    def test_unauthenticated(self, served: Served) -> None:
        """No session, on 6.7, to the letter."""
        appliance = served.make(version="6.7")
        reply = respond(appliance, Request(method="GET", target=f"/rest{BACKUP}/job"))
        assert reply.status == 401
        assert json.loads(reply.body) == load("rest_error_401_unauthenticated")

    def test_broken(self, served: Served) -> None:
        """An error inside the appliance, on 6.7, to the letter."""
        appliance = served.make(version="6.7")
        status, body = served.ask(appliance, f"/rest{BACKUP}/job", fault="error")
        assert status == 500
        assert body == load("rest_error_500")

    def test_session_limit(self, served: Served) -> None:
        """One log-in too many."""
        reply = served.log_in(served.make(session_limit=0), "rest")
        assert reply.status == 503
        assert differences(load("rest_error_503_session_limit"), json.loads(reply.body)) == []


def test_every_sample_is_tested() -> None:
    """Every sample is named in this file, except those of another protocol."""
    text = Path(__file__).read_text(encoding="utf-8")
    both = {"job_list_200", "job_get_failed_200", "job_details_200", "error_404_job_not_found"}
    for path in SAMPLES.glob("*.json"):
        flavour, _, rest = path.stem.partition("_")
        covered = rest in both or rest in {"job_get_succeeded_200", "job_get_inprogress_200"}
        assert flavour == "jsonrpc" or covered or f'"{path.stem}"' in text, path.stem
