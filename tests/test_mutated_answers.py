"""Collections from appliances of whose answers any node was dropped, retyped, doubled or moved."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

import backupkit as bk
from tests.conftest import EPOCH, epoch, repeats
from tests.json_strategies import Mutated, mutations
from tests.written_fleet import (
    PASSWORD,
    PATIENT,
    ROUTES,
    WrittenAppliance,
    job_id,
    job_route,
    night,
    serve,
)

pytestmark = pytest.mark.allow_hosts(["127.0.0.0/8"])

MUTANTS = 50
"""Appliances with mutated answers in a fleet; two healthy ones are beside them."""

JOBS = {job_id(days): night(days).replace(second=0) for days in range(4)}
"""The slot of each job."""

HEALTHY = ("healthy-1", "healthy-2")
USUAL = WrittenAppliance("usual").usual_answers()
NO_DETAILS = (404, b'{"error_type": "NOT_FOUND", "messages": []}')

Answers = Mapping[str, Mutated]


class Drawn:  # no dataclass: the repr of 50 would be long
    """Answers of one appliance; `has_details` is whether it has job details."""

    def __init__(self, answers: Answers, *, has_details: bool) -> None:
        self.answers, self.has_details = answers, has_details

    def changed(self) -> dict[str, tuple[int, bytes]]:
        """Return the answers that are not the usual ones."""
        bodies = {request: (200, mutated.body) for request, mutated in self.answers.items()}
        return bodies if self.has_details else bodies | {ROUTES["details"]: NO_DETAILS}

    def has_usual(self, job: str) -> bool:
        """Return whether the answer from which a job is read is the usual one."""
        details = self.answers.get(ROUTES["details"])
        if self.has_details:
            return details is None or not details.touches(job)
        return job_route(job) not in self.answers


@st.composite
def mutated_answers(draw: st.DrawFn) -> Drawn:
    """Draw one or two mutated answers of an appliance."""
    requests = [*ROUTES.values(), *map(job_route, JOBS)]
    chosen = draw(st.lists(st.sampled_from(requests), min_size=1, max_size=2, unique=True))
    answers = {one: draw(mutations(json.loads(USUAL[one][1]))) for one in chosen}
    return Drawn(answers, has_details=draw(st.booleans()))


class Mutants:  # no dataclass, either
    """A fleet whose answers a test sets."""

    def __init__(self, path: Path, appliances: list[WrittenAppliance]) -> None:
        self.fleet, self.policy = bk.Fleet.load(path), bk.Policy.load(path)
        self.appliances = appliances


@pytest.fixture(scope="module")
def mutants(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mutants]:
    """Serve the fleet."""
    folder = tmp_path_factory.mktemp("mutants")
    appliances = [WrittenAppliance(f"vc-{number}") for number in range(MUTANTS)]
    healthy = [WrittenAppliance(name) for name in HEALTHY]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VCSA_PASSWORD", PASSWORD)
        with serve([*appliances, *healthy], folder) as fleet:
            yield Mutants(fleet, appliances)


def find_listed(appliance: WrittenAppliance) -> set[str]:
    """Return the ids on the job list, none if it is no list."""
    try:
        value = json.loads(appliance.answer(ROUTES["list"])[1])
    except (ValueError, RecursionError):
        return set()
    return {item for item in value if isinstance(item, str)} if isinstance(value, list) else set()


# shrinking 50 appliances takes long; the message names the answers of the one
@settings(max_examples=repeats(3, 200), phases=(Phase.explicit, Phase.generate))
@given(st.lists(mutated_answers(), min_size=MUTANTS, max_size=MUTANTS))
@pytest.mark.filterwarnings("ignore::backupkit.errors.BackupkitWarning")
@pytest.mark.filterwarnings("ignore:Generating overly large repr")
def test_mutated(mutants: Mutants, drawn: list[Drawn]) -> None:
    """No answer ends a worker, loses a readable job, or makes a listed job one that did not run."""
    for appliance, one in zip(mutants.appliances, drawn, strict=True):
        appliance.changed = one.changed()
    snapshot = bk.collect(mutants.fleet, limits=PATIENT, progress=False, clock=epoch)
    a = bk.evaluate(snapshot, mutants.policy, last="3d", now=EPOCH)
    assert "worker" not in set(snapshot.polls["error"].dropna())
    missed = a.slots[a.slots["state"] == "missed_norun"]
    jobs = snapshot.jobs.set_index(["appliance", "job_id"])["outcome"].to_dict()
    unread = snapshot.polls["jobs_unread"].isna()
    without_list = set(snapshot.polls.loc[unread, "appliance"])
    told = set(zip(snapshot.errors["appliance"], snapshot.errors["job_id"], strict=True))
    for appliance, one in zip(mutants.appliances, drawn, strict=True):
        name, listed, answers = appliance.name, find_listed(appliance), one.answers
        if name in without_list:  # log-in or list could not be read
            continue
        for job in JOBS.keys() & listed:
            assert (name, job) in jobs, answers
            # the record of another job may have got the same key
            if one.has_usual(job) and (name, job) not in told:
                assert jobs[name, job] == "success", answers
        if answers.keys().isdisjoint({ROUTES["schedules"], ROUTES["time zone"]}):
            own = set(missed.loc[missed["appliance"] == name, "slot"])
            assert own.isdisjoint({JOBS[job] for job in JOBS.keys() & listed}), answers
    assert_healthy(a)


def assert_healthy(a: bk.Assessment) -> None:
    """Check that the healthy appliances are as if they were alone."""
    rows = a.appliances.loc[list(HEALTHY)]
    assert rows["state"].to_list() == ["compliant"] * 2
    assert rows["reason"].isna().all()
    assert rows[["slots_met", "attempts_ok"]].to_numpy().tolist() == [[3, 3]] * 2
    assert (rows["compliant"] == pd.Timedelta(days=3)).all()
