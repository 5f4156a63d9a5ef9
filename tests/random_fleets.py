"""Random fleets, periods and policies, for tests that compare two ways to evaluate."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from random import Random
from typing import Any

import pandas as pd
from pandas.testing import assert_frame_equal

from backupkit.analysis import data_fingerprint, restrict_to_period
from backupkit.assessment import Assessment, evaluate, evaluate_frames
from backupkit.assessment.context import EvaluationContext, Period
from backupkit.assessment.evaluation import as_of, list_appliances
from backupkit.assessment.partial import PartialAssessment
from backupkit.policy import Exclusion, Member, Policy
from backupkit.tables import JOBS, POLLS, SCHEDULES, HistoryView
from tests.builders import END, frame, message
from tests.equal import assert_equal

APPLIANCES = 25
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
WEEKDAYS = ("MONDAY", "TUESDAY", "WEDNESDAY", "THURSDAY", "FRIDAY", "SATURDAY", "SUNDAY")
OUTCOMES = {
    "steady": ["success"],
    "healthy": ["success"] * 12 + ["failure", "open", "void", "other"],
    "shaky": ["success", "failure", "failure", "void", "other", "open"],
    "failing": ["failure"] * 8 + ["void", "other", "open"],
}
SKEWS = [0 * DAY, 2 * MINUTE, -2 * HOUR, 3 * HOUR, 4 * DAY, -5 * DAY]
LENGTHS = [timedelta(minutes=number) for number in (0, 20, 20, 30, 300, 1_800, 12_960, -60)]
STEPS = [HOUR, 6 * HOUR, 12 * HOUR, DAY, DAY, DAY, 7 * DAY, 7 * DAY, 33 * DAY]
REMOTE = ["sftp://nas-1/vc", "sftp://nas-2/vc", None]
LOCAL = ["file:///storage/vc", "/storage/vc", "sftp://10.0.0.1:/vc", "scp://localhost/vc"]
TEXTS = ["Disk full on host 7.", "Log-in to nas-1 refused.", ""]


@dataclass(frozen=True)
class Case:
    """A random fleet with a policy and a period."""

    known: HistoryView
    policy: Policy
    times: Period
    as_if: bool

    def evaluate_unrestricted(self) -> Assessment:
        """Evaluate all frames, without a restriction to the period."""
        known = as_of(self.known, self.times.now)
        context = EvaluationContext.of(
            self.policy, list_appliances(known), self.times, as_if=self.as_if
        )
        parts = [PartialAssessment(known, context)]
        version = data_fingerprint(known.polls)
        return Assessment(context=context, parts=parts, version=version)

    def evaluate_frames(self, known: HistoryView) -> Assessment:
        """Evaluate frames as a user does."""
        frames = known.jobs, known.polls, known.schedules
        return evaluate_frames(*frames, self.policy, **self._options())

    def evaluate(self, source: Any) -> Assessment:  # noqa: ANN401 # a history, or like one
        """Evaluate a history."""
        return evaluate(source, self.policy, **self._options())

    def restrict(self, known: HistoryView) -> HistoryView:
        """Restrict frames to the period."""
        times = self.times
        return restrict_to_period(
            known, start=times.start, end=times.end, now=times.now, hosts=self.policy.hosts
        )

    def _options(self) -> dict[str, Any]:
        times = self.times
        return {"start": times.start, "end": times.end, "now": times.now, "as_if": self.as_if}


def random_jobs(random: Random, name: str, times: Period) -> Iterator[dict[str, Any]]:
    """Draw the jobs of one appliance, over half a year or far less."""
    step = random.choice(STEPS)
    latest = random.choice([times.now, times.now, times.end, times.start, times.start - 20 * DAY])
    number = min(random.choice([0, 3, 12, 40, 130, 260, 600]), int(900 * DAY / step))
    moods = random.choices(list(OUTCOMES), k=3) if random.random() < 0.7 else ["steady"] * 3
    gaps = random.choice([0.0, 0.02, 0.2])  # how often something is missing
    sizes: list[int | None] = random.choice([[None, -1, 0, 10, 9**18], [10, 11, 12], [10, 400]])
    stuck = random.choice([None, None, number - 20])  # open for a long time
    local = random.choice([0.0, 0.0, 0.0, 0.1, 0.9, 1.0])  # how often on the appliance itself
    at = latest + random.choice([0 * DAY, 2 * DAY])
    for place in range(number):
        at -= step if random.random() < 0.9 else random.choice(STEPS)
        start = at + random.choice([0 * MINUTE, 0 * MINUTE, 7 * MINUTE, -9 * HOUR, 30 * HOUR])
        outcome = random.choice(OUTCOMES[moods[3 * place // number]])
        if place == stuck:
            outcome = "open"
        end = start + random.choice(LENGTHS if random.random() < 0.3 else LENGTHS[1:3])
        finished = outcome in ("success", "failure") or random.random() < 0.2
        seen = max(start, end) + random.choice([MINUTE, 3 * HOUR])
        yield {
            "appliance": name,
            "job_id": f"{number - place:04}",
            "outcome": outcome,
            "state": outcome,
            "start_time": None if random.random() < gaps else start,
            "end_time": end if finished and random.random() >= gaps else None,
            "last_seen_at": None if random.random() < gaps else seen,
            "first_seen_at": start if random.random() < 0.1 else None,
            "vanished_at": seen + DAY if random.random() < 0.1 else None,
            "type": "LOCAL_BACKUP"
            if random.random() < local / 9
            else random.choice(["SCHEDULED", "SCHEDULED", "MANUAL", None]),
            "size": random.choice(sizes),
            "location": random.choice(LOCAL if random.random() < local else REMOTE),
            "build": random.choice(["1", "2", None]),
            "messages": [message(random.choice(TEXTS))] if outcome == "failure" else None,
        }


def random_polls(random: Random, name: str, times: Period) -> Iterator[dict[str, Any]]:
    """Draw the polls of one appliance: regular ones, and some at any time."""
    step = random.choice([10 * MINUTE, 10 * MINUTE, 25 * MINUTE, HOUR, 5 * HOUR, DAY, 8 * DAY])
    number, skew = random.choice([0, 1, 2, 5, 30, 160]), random.choice(SKEWS)
    at = (
        times.now
        - random.choice([0 * MINUTE, HOUR, 3 * DAY, 50 * DAY])
        + random.choice([0, 1]) * DAY
    )
    results: list[bool | None] = random.choice(
        [[True], [True, True, False, None], [False, None], [False, False, True]]
    )
    for place in range(number):
        at -= step if random.random() < 0.9 else random.choice([2 * step, step / 3, 0 * step])
        ok = random.choice(results)
        yield {
            "appliance": name,
            "polled_at": at,
            "ok": ok,
            "error": None if ok else random.choice(["login", "timeout"]),
            "detail": None if ok else f"Fault {place}.",
            "clock_skew": skew if ok and random.random() < 0.9 else None,
            "version": random.choice(["8.0.2", "8.0.3"]) if ok else None,
            "details": random.random() < 0.7 if ok else None,
        }


def random_schedules(
    random: Random, name: str, times: Period, keeps: list[int | None]
) -> Iterator[dict[str, Any]]:
    """Draw the successive schedules of one appliance."""
    for place in range(random.choice([0, 1, 1, 2, 4])):
        yield {
            "appliance": name,
            "schedule": random.choice(["default", "extra"]),
            "seen_at": times.end - random.randrange(-30, 400) * DAY - place * MINUTE,
            "enabled": random.random() < 0.85,
            "hour": random.randrange(24),
            "minute": random.choice([0, 30]),
            "days": random.choice([None, None, ["SUNDAY"], list(WEEKDAYS[:3])]),
            "timezone": random.choice(["UTC", "Europe/Berlin", "Pacific/Apia", "nowhere", None]),
            "max_count": random.choice(keeps),
            "location": "sftp://nas-1/vc",
        }


def random_parameters(random: Random) -> dict[str, Any]:
    """Draw parameters of a policy, some of them absurd."""
    return {
        "rpo": random.choice([6 * HOUR, DAY, 8 * DAY, 90 * DAY]),
        "early": random.choice([HOUR, HOUR, 0 * HOUR, 2 * DAY, 40 * DAY]),
        "late": random.choice([HOUR, HOUR, 0 * HOUR, 3 * DAY, 40 * DAY]),
        "completion": random.choice([None, None, 2 * HOUR, 20 * DAY]),
        "staleness": random.choice([None, None, 0 * HOUR, 60 * DAY]),
        "anchor": random.choice(["start", "end"]),
        "unknown_mode": random.choice(["strict", "evidence"]),
        "window": random.choice([None, "22:00-06:00"]),
        "duration_limit": random.choice([None, HOUR]),
        "lookback": random.choice([DAY, 30 * DAY]),
        "count_local": random.choice([False, False, True]),
        "schedule": random.choice([None, "01:00", {"time": "01:00", "days": ["SUNDAY"]}]),
    }


def random_policy(random: Random, times: Period) -> Policy:
    """Draw a policy with changes and exclusions."""
    names = [f"vc-{number}" for number in range(APPLIANCES + 1)]

    def around() -> pd.Timestamp:
        return times.end - random.randrange(-20, 60) * DAY - random.randrange(24) * HOUR

    begins = [around() for _ in range(random.choice([0, 0, 2, 4]))]
    return Policy(
        **random_parameters(random),
        changes={
            around(): Policy(**random_parameters(random)) for _ in range(random.choice([0, 0, 1]))
        },
        members=[
            Member(
                appliance=name,
                host=random.choice([None, "10.0.0.1", "10.0.0.1:8443", "vc.example.com"]),
                exclude=random.choice([None, None, None, "retired"]),
            )
            for name in names[: random.choice([0, 2, APPLIANCES + 1])]
        ],
        exclusions=[
            Exclusion(
                reason="works",
                start=begin,
                end=begin + random.randrange(1, 300) * HOUR,
                appliances=random.sample(names, 2),
            )
            for begin in begins
        ],
    )


def random_case(random: Random) -> Case:
    """Draw a fleet, a period and a policy."""
    now = END + random.choice([0 * DAY, 0 * DAY, HOUR, 3 * DAY, 40 * DAY])
    start = END - random.choice([HOUR, DAY, 7 * DAY, 7 * DAY, 30 * DAY, 100 * DAY])
    times = Period.from_times(start=start, end=END, now=now, zone="Etc/UTC")
    names = [f"vc-{number}" for number in range(APPLIANCES)]
    jobs = {name: list(random_jobs(random, name, times)) for name in names}
    if random.random() < 0.3:  # two names for one appliance
        jobs["vc-1"] = [job | {"appliance": "vc-1"} for job in jobs["vc-0"]]
    keeps = random.choice([[None, 0, 1, 7, 30], [None, 0, 1, 7, 30, 120, 180, 10**6]])
    plans = [row for name in names for row in random_schedules(random, name, times, keeps)]
    edges = [times.start, times.end, times.now]
    for rows in jobs.values():  # some times exactly at the edges
        for row in random.sample(rows, min(len(rows), random.choice([0, 0, 4]))):
            row[random.choice(["start_time", "end_time", "last_seen_at"])] = random.choice(edges)
    known = HistoryView(
        frame(JOBS, [row for rows in jobs.values() for row in rows]),
        frame(POLLS, [row for name in names for row in random_polls(random, name, times)]),
        frame(SCHEDULES, plans),
    )
    return Case(known, random_policy(random, times), times, as_if=random.random() < 0.2)


def assert_same(one: Assessment, other: Assessment) -> None:
    """Check that two assessments are equal, except for jobs that no figure needs."""
    assert_equal(one, other, but=["assessed_jobs"])
    key = ["appliance", "job_id"]
    left, right = one.assessed_jobs, other.assessed_jobs
    both = pd.MultiIndex.from_frame(left[key]).isin(pd.MultiIndex.from_frame(right[key]))
    assert_frame_equal(left[both].reset_index(drop=True), right, obj="jobs")
