"""A backup job from start to end, in responses."""

from collections.abc import Callable
from datetime import datetime, timedelta

import pytest

from backupkit.simulator import SimulatedAppliance

BACKUP = "/appliance/recovery/backup"
REQUEST = {"parts": ["common", "seat"], "location_type": "SFTP", "location": "sftp://h/p"}

Json = dict[str, object]
Make = Callable[..., SimulatedAppliance]
Ask = Callable[..., tuple[int, object]]
Asked = Callable[..., tuple[int, Json]]


class TestJobLife:
    """The life of a job."""

    @pytest.mark.parametrize(
        ("flavour", "body", "status"), [("api", REQUEST, 201), ("rest", {"piece": REQUEST}, 200)]
    )
    def test_create(self, make: Make, ask: Asked, flavour: str, body: object, status: int) -> None:
        """A created job has a status at once, and is in the list."""
        appliance = make()
        got, answer = ask(appliance, f"{BACKUP}/job", method="POST", body=body, flavour=flavour)
        assert got == status
        job = answer if flavour == "api" else answer["value"]
        assert job == {
            "id": "20261123-140000-24322831",
            "state": "NONE",
            "messages": [],
            "progress": 0,
            "start_time": "2026-11-23T14:00:00.000Z",
        }
        assert appliance.jobs()[-1].id == "20261123-140000-24322831"

    def test_progress(self, make: Make, ask: Asked, moment: list[datetime]) -> None:
        """A job waits, runs with increasing progress, and succeeds at its end."""
        appliance = make()
        _, created = ask(appliance, f"{BACKUP}/job", method="POST", body=REQUEST)
        seen = []
        for _ in range(60):
            _, job = ask(appliance, f"{BACKUP}/job/{created['id']}")
            seen.append((job["state"], job["progress"], "end_time" in job))
            moment[0] += timedelta(seconds=60)
        states = [state for state, _, _ in seen]
        assert list(dict.fromkeys(states)) == ["NONE", "INPROGRESS", "SUCCEEDED"]
        percents = [percent for _, percent, _ in seen]
        assert percents == sorted(percents)  # type: ignore[type-var]  # they are integers
        assert (percents[0], percents[-1]) == (0, 100)
        assert all(ended == (state == "SUCCEEDED") for state, _, ended in seen)

    def test_in_use(self, make: Make, ask: Asked, moment: list[datetime]) -> None:
        """While one job runs no second one can be started, in either flavour."""
        appliance = make("vc-ham-04")
        for target in (f"{BACKUP}/job", f"{BACKUP}/schedules/default?action=run"):
            status, body = ask(appliance, target, method="POST", body=REQUEST)
            assert (status, body["error_type"]) == (400, "FEATURE_IN_USE")
        moment[0] += timedelta(minutes=10, seconds=1)
        status, _ = ask(appliance, f"{BACKUP}/schedules/default?action=run", method="POST")
        assert status == 200

    def test_run(self, make: Make, ask: Asked) -> None:
        """The run of a schedule is a job whose folder has the comment."""
        appliance = make()
        target = f"{BACKUP}/schedules/default?action=run"
        status, job = ask(appliance, target, method="POST", body={"comment": "x"})
        assert (status, job["state"]) == (200, "NONE")
        assert appliance.jobs()[-1].location.endswith("_PA======")

    def test_fails_where_others_fail(self, make: Make, moment: list[datetime]) -> None:
        """A manual job fails on an appliance whose every job fails."""
        appliance = make("vc-tyo-02")
        job = appliance.create("")
        moment[0] = job.end
        assert not appliance.jobs()[-1].ok

    @pytest.mark.parametrize(
        ("flavour", "suffix"), [("api", "?action=cancel"), ("rest", "/cancel")]
    )
    def test_cancel(
        self, make: Make, ask: Asked, moment: list[datetime], flavour: str, suffix: str
    ) -> None:
        """A cancelled job is FAILED and keeps its progress, and a new one can start."""
        appliance = make("vc-ham-04")
        running = appliance.jobs()[-1]
        _, before = ask(appliance, f"{BACKUP}/job/{running.id}")
        target = f"{BACKUP}/job/{running.id}{suffix}"
        status, answer = ask(appliance, target, method="POST", flavour=flavour)
        assert status == 200
        assert (answer if flavour == "api" else answer["value"])["status"] == "OK"  # type: ignore[index]  # an object
        moment[0] += timedelta(hours=1)
        _, after = ask(appliance, f"{BACKUP}/job/{running.id}")
        assert (after["state"], after["progress"]) == ("FAILED", before["progress"])
        assert after["end_time"] == "2026-11-23T14:00:00.000Z"
        _, again = ask(appliance, f"{BACKUP}/job/{running.id}?action=cancel", method="POST")
        assert again["status"] == "FAIL"

    def test_cancel_unknown(self, make: Make, ask: Ask) -> None:
        """An unknown job cannot be cancelled."""
        assert ask(make(), f"{BACKUP}/job/no?action=cancel", method="POST")[0] == 404

    def test_same_second(self, make: Make) -> None:
        """Jobs that are created and cancelled within one second have different ids."""
        appliance = make()
        first = appliance.create("")
        assert appliance.cancel(first.id)
        second = appliance.create("")
        assert (first.id[9:15], second.id[9:15]) == ("140000", "140001")

    @pytest.mark.parametrize(
        ("body", "kind", "word"),
        [
            ({}, "INVALID_ARGUMENT", "parts"),
            (None, "INVALID_ARGUMENT", "parts"),
            ({**REQUEST, "location": ""}, "INVALID_ARGUMENT", "location"),
            ({**REQUEST, "location_type": "GOPHER"}, "INVALID_ARGUMENT", "GOPHER"),
            ([1], "INVALID_REQUEST", ""),
        ],
    )
    def test_invalid(self, make: Make, ask: Asked, body: object, kind: str, word: str) -> None:
        """A request that is incomplete, or no JSON object, is an error that names the argument."""
        status, answer = ask(make(), f"{BACKUP}/job", method="POST", body=body)
        assert (status, answer["error_type"]) == (400, kind)
        assert word in str(answer["messages"])

    def test_legacy_without_piece(self, make: Make, ask: Ask) -> None:
        """The legacy flavour requires a wrapped request."""
        answer = ask(make(), f"{BACKUP}/job", method="POST", body=REQUEST, flavour="rest")
        assert answer[0] == 400
