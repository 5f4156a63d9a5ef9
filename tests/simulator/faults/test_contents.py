"""Faults in the content of some jobs."""

import json
import re
import urllib.parse
from collections.abc import Callable

import pytest

from backupkit.simulator import Fault, SimulatedAppliance
from backupkit.simulator.faults.contents import affected_jobs, listed_id
from backupkit.simulator.faults.fault import route_of
from backupkit.simulator.wire import Reply, Request

BACKUP = "/appliance/recovery/backup"
Make = Callable[..., SimulatedAppliance]
FaultyReply = Callable[..., Reply]
Ask = Callable[..., tuple[int, object]]
FLAVOURS = pytest.mark.parametrize("flavour", ["api", "rest"])


def pairs_of(reply: Reply) -> list[tuple[str, dict[str, object]]]:
    """Return the details as pairs, even if a key is repeated."""
    assert reply.status == 200
    value = json.loads(reply.body, object_pairs_hook=lambda pairs: pairs)
    if value[0][0] == "value":
        return [(dict(pair)["key"], dict(dict(pair)["value"])) for pair in value[0][1]]
    return [(key, dict(job)) for key, job in value]


class Story:
    """One appliance, one fault, and its responses in one flavour."""

    def __init__(
        self, appliance: SimulatedAppliance, faulty_reply: FaultyReply, flavour: str, fault: Fault
    ) -> None:
        self.appliance = appliance
        self.hit = affected_jobs(fault, appliance, 1)
        self._befall = faulty_reply
        self._root = f"/{flavour}{BACKUP}/job"
        self._fault = fault

    def asked(self, below: str = "") -> Reply:
        """Send a request below the jobs, with or without the fault."""
        target = self._root + below
        route = route_of(Request(method="GET", target=target))
        kind = self._fault.kind if route in self._fault.routes else "slow"
        return self._befall(self.appliance, kind, target, jobs=self._fault.jobs)

    def value(self, below: str = "") -> object:
        """Return the value of a response, without an envelope."""
        body = json.loads(self.asked(below).body)
        return body["value"] if self._root.startswith("/rest") else body

    def ids(self) -> list[str]:
        """Return the list."""
        ids = self.value()
        assert isinstance(ids, list)
        return ids

    def job(self, identifier: str) -> dict[str, object]:
        """Return one job, requested with its id quoted."""
        job = self.value(f"/{urllib.parse.quote(identifier, safe='')}")
        assert isinstance(job, dict)
        return job

    def details(self, query: str = "") -> list[tuple[str, dict[str, object]]]:
        """Return the details as pairs."""
        return pairs_of(self.asked(f"/details{query}"))


@pytest.fixture
def story(make: Make, faulty_reply: FaultyReply) -> Callable[..., Story]:
    """Return a function that builds a story."""

    def begin(flavour: str, kind: str, jobs: int | None = None) -> Story:
        return Story(make(), faulty_reply, flavour, Fault(kind, jobs=jobs))

    return begin


Begin = Callable[..., Story]
RIGHT = "SUCCEEDED"


class TestAffectedJobs:
    """The choice of affected jobs."""

    def test_seed(self, make: Make) -> None:
        """Appliance, kind and seed decide, and a larger number includes a smaller one."""
        appliance = make()
        three = affected_jobs(Fault("gone", jobs=3), appliance, 1)
        assert list(three.values()) == [0, 1, 2]
        assert affected_jobs(Fault("gone"), appliance, 1) == dict([*three.items()][:1])
        assert affected_jobs(Fault("gone", jobs=3), appliance, 2) != three
        assert affected_jobs(Fault("undetailed", jobs=3), appliance, 1) != three

    def test_number(self, make: Make) -> None:
        """No job may be affected, or all; of odd ids there is one of each sort."""
        appliance = make()
        assert affected_jobs(Fault("gone", jobs=0), appliance, 1) == {}
        assert len(affected_jobs(Fault("gone", jobs=999), appliance, 1)) == len(appliance.jobs())
        assert len(affected_jobs(Fault("odd_ids"), appliance, 1)) == 7


@FLAVOURS
class TestRecords:
    """Faults inside a job."""

    def wrong(self, story: Story) -> list[tuple[dict[str, object], dict[str, object]]]:
        """Return the affected jobs, from ``job/{id}`` and from the details; check the others."""
        details = dict(story.details())
        assert story.ids() == list(details)[::-1]
        for identifier, job in details.items():
            if identifier not in story.hit:
                assert job["status"] == RIGHT
                assert story.job(identifier)["state"] == RIGHT
        return [(story.job(identifier), details[identifier]) for identifier in story.hit]

    def test_unknown_state(self, story: Begin, flavour: str) -> None:
        """The state is an unknown word."""
        ((job, details),) = self.wrong(story(flavour, "unknown_state"))
        assert job["state"] == details["status"] == "SUSPENDED"

    def test_extra_fields(self, story: Begin, flavour: str) -> None:
        """There are unknown fields, and all else is right."""
        ((job, details),) = self.wrong(story(flavour, "extra_fields"))
        assert job["priority"] == details["priority"] == 3
        assert (job["state"], details["status"]) == (RIGHT, RIGHT)

    def test_missing_field(self, story: Begin, flavour: str) -> None:
        """Each affected job lacks another field, the first one its state."""
        wrong = self.wrong(story(flavour, "missing_field", 5))
        fields = ("state", "start_time", "messages", "progress", "id")
        assert [set(fields) - set(job) for job, _ in wrong] == [{field} for field in fields]
        known = ("status", "start_time", "messages", "location", "type")
        assert [set(known) - set(details) for _, details in wrong] == [{name} for name in known]

    def test_null_text(self, story: Begin, flavour: str) -> None:
        """Each affected job has null in another field, the first one in its state."""
        wrong = self.wrong(story(flavour, "null_text", 3))
        nulls = [[key for key, value in job.items() if value is None] for job, _ in wrong]
        assert nulls == [["state"], ["start_time"], ["id"]]
        nulls = [[key for key, value in job.items() if value is None] for _, job in wrong]
        assert nulls == [["status"], ["start_time"], ["location"]]

    def test_impossible_numbers(self, story: Begin, flavour: str) -> None:
        """Progress is below 0, above 100, or very large, and so is the size."""
        wrong = self.wrong(story(flavour, "absurd_numbers", 3))
        assert [job["progress"] for job, _ in wrong] == [-5, 250, 1e300]
        sizes = [(details["size"], details["duration"]) for _, details in wrong]
        assert sizes == [(2**70, -1)] * 3
        progress = wrong[1][1]["progress"]
        assert isinstance(progress, list)
        assert dict(progress)["completed"] == 250

    @pytest.mark.parametrize(
        ("kind", "end"), [("zoneless_time", ""), ("offset_time", r"\+0000"), ("second_60", "Z")]
    )
    def test_time(self, story: Begin, flavour: str, kind: str, end: str) -> None:
        """A time has no zone, a zone without a colon, or the second 60."""
        second = "60" if kind == "second_60" else r"[0-5]\d"
        spelling = rf"2026-\d\d-\d\dT\d\d:\d\d:{second}\.\d{{3}}{end}"
        ((job, details),) = self.wrong(story(flavour, kind))
        times = [str(one[key]) for one in (job, details) for key in ("start_time", "end_time")]
        assert all(re.fullmatch(spelling, text) for text in times)


@FLAVOURS
class TestIds:
    """Faults of ids and of the list."""

    def test_duplicate_ids(self, story: Begin, flavour: str) -> None:
        """A job is twice in the list and in the details, and once by itself."""
        responses = story(flavour, "duplicate_ids", 2)
        for ids in (responses.ids(), [key for key, _ in responses.details()]):
            assert {key for key in ids if ids.count(key) == 2} == set(responses.hit)
        identifier = next(iter(responses.hit))
        assert responses.job(identifier)["id"] == identifier

    def test_gone(self, story: Begin, flavour: str) -> None:
        """A job is only in the list."""
        responses = story(flavour, "gone")
        (identifier,) = responses.hit
        assert identifier in responses.ids()
        assert identifier not in dict(responses.details())
        reply = responses.asked(f"/{identifier}")
        assert (reply.status, b"does not exist" in reply.body) == (404, True)

    def test_undetailed(self, story: Begin, flavour: str) -> None:
        """A job is everywhere except in the details."""
        responses = story(flavour, "undetailed")
        (identifier,) = responses.hit
        assert identifier in responses.ids()
        assert len(responses.details()) == len(responses.ids()) - 1

    def test_odd_ids(self, story: Begin, flavour: str) -> None:
        """Every odd id is listed, has details, and can be requested when quoted."""
        responses = story(flavour, "odd_ids")
        fault = Fault("odd_ids")
        odd = [listed_id(fault, key, turn) for key, turn in responses.hit.items()]
        assert all(
            set(odd) & set(ids) == set(odd) for ids in (responses.ids(), dict(responses.details()))
        )
        assert set("/?#% ") <= set("".join(odd))
        assert not "".join(odd).isascii()
        for identifier in odd:
            assert responses.job(identifier)["id"] == identifier
        true = next(iter(responses.hit))
        assert responses.asked(f"/{true}").status == 404

    def test_filter(self, story: Begin, flavour: str) -> None:
        """The details of an odd id can be requested with a filter."""
        responses = story(flavour, "odd_ids")
        true, turn = next(iter(responses.hit.items()))
        odd = listed_id(Fault("odd_ids"), true, turn)
        key = "jobs" if flavour == "api" else "filter.jobs.1"
        found = responses.details(f"?{urllib.parse.urlencode({key: odd})}")
        assert [identifier for identifier, _ in found] == [odd]


def test_no_details(make: Make, faulty_reply: FaultyReply) -> None:
    """Without details there is nothing to change."""
    reply = faulty_reply(make(version="6.5"), "unknown_state", f"/rest{BACKUP}/job/details")
    assert reply.status == 404
