"""Random histories are evaluated as by tests/reference.py, which shares no code."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import pandas as pd
import pytest
from hypothesis import Phase, given, seed, settings
from hypothesis import strategies as st

from backupkit import Assessment, Policy, evaluate_frames
from backupkit.policy import Exclusion, Member
from backupkit.tables import JOBS, POLLS, SCHEDULES
from tests.builders import frame
from tests.conftest import repeats
from tests.reference import HOUR, Appliance, Job, Numbers, Poll, ScheduleRow, figures

HISTORIES = 50
"""Appliances in a fleet: an evaluation costs about the same for one and for fifty."""

EXAMPLES = repeats(16, 84)
"""Number of fleets."""

MINUTE, DAY = timedelta(minutes=1), timedelta(days=1)
EVER = datetime(1990, 1, 1, tzinfo=UTC)
ORIGINS = [
    datetime(*day, tzinfo=UTC)
    for day in (
        (2026, 10, 22),
        (2026, 10, 29),
        (2026, 3, 26),
        (2026, 3, 5),
        (2026, 4, 1),
        (2026, 9, 28),
        (2026, 4, 21),
        (2011, 12, 26),
    )
]
"""A week around changes of the clocks on both hemispheres, and the day that Samoa skipped."""

ZONES = [
    *("UTC", "Europe/Berlin", "America/New_York", "Australia/Sydney", "Australia/Lord_Howe"),
    *("Asia/Kathmandu", "Asia/Kolkata", "Pacific/Apia", "Pacific/Chatham", "America/St_Johns"),
    *("America/Santiago", "Africa/Cairo", "Antarctica/Troll", "Pacific/Kiritimati"),
]
WEEKDAYS = ("MONDAY", "TUESDAY", "WEDNESDAY", "THURSDAY", "FRIDAY", "SATURDAY", "SUNDAY")
STATE_OF = {
    "success": "SUCCEEDED",
    "failure": "FAILED",
    "open": "INPROGRESS",
    "void": "NONE",
    "other": "STRANGE",
}
OUTCOMES = ["success", "success", "success", "failure", "failure", "void", "other", "open"]
KINDS = ["SCHEDULED", "SCHEDULED", "SCHEDULED", "MANUAL", None]
LENGTHS = [0, 5, 20, 60, 59, 200, 700, 1_600, 3_000]
"""Duration of a job [minutes]."""

AROUND = [-130, -61, -60, -59, -10, -1, 0, 1, 10, 11, 30, 59, 60, 61, 119, 120, 121, 180, 600]
"""Start of a job after its slot [minutes]."""


def some_numbers(random: Random) -> Numbers:
    """Return a random policy."""
    clocks = [2 * HOUR, 1 * HOUR + 30 * MINUTE, 22 * HOUR, 0 * HOUR, 12 * HOUR]
    lengths = [3 * HOUR, 8 * HOUR, 30 * MINUTE, 24 * HOUR, 23 * HOUR]
    return Numbers(
        threshold=random.choice([6 * HOUR, 24 * HOUR, 26 * HOUR, 36 * HOUR]),
        early=random.choice([HOUR, HOUR, 0 * HOUR, 3 * HOUR, 30 * HOUR, 100 * HOUR]),
        late=random.choice([HOUR, HOUR, 0 * HOUR, 3 * HOUR, 30 * HOUR]),
        completion=random.choice([None, None, 2 * HOUR, 20 * MINUTE, 30 * HOUR]),
        staleness=random.choice([None, 0 * HOUR, 2 * HOUR, 12 * HOUR]),
        anchor=random.choice(["start", "end"]),
        count_local=random.random() < 0.3,
        unknown_mode=random.choice(["strict", "evidence"]),
        backup_day=random.choice([12 * HOUR, 2 * HOUR + 30 * MINUTE, 0 * HOUR]),
        window=random.choice([None, (random.choice(clocks), random.choice(lengths))]),
        window_tolerance=random.choice([0 * HOUR, 5 * MINUTE, HOUR]),
        duration_limit=random.choice([None, 20 * MINUTE, HOUR]),
        schedule=random.choice(
            [None, (1, 0, ()), (2, 30, ()), (random.randrange(24), 15, ()), (1, 0, (6,))]
        ),
    )


def some_changes(random: Random, origin: datetime) -> tuple[tuple[datetime, Numbers], ...]:
    """Return a random policy and its changes."""
    dates = {origin + random.randrange(500) * HOUR / 2 for _ in range(random.choice([0, 1, 2]))}
    return tuple((date, some_numbers(random)) for date in (EVER, *sorted(dates)))


def some_schedules(random: Random, origin: datetime) -> list[ScheduleRow]:
    """Return random rows of the schedules: often one, sometimes changed, sometimes two."""
    return [
        ScheduleRow(
            schedule=random.choice(["default", "default", "extra"]),
            # no two rows of a schedule have the same time
            seen=origin + random.randrange(-48, 192) * HOUR + number * MINUTE,
            enabled=random.random() < 0.9,
            hour=random.choice([random.randrange(24), 0, 1, 2, 3]),
            minute=random.choice([0, 30, 59, 15]),
            days=random.choice([(), (), (), (0, 2, 4, 6), (6,)]),
            zone=random.choice([None, *ZONES]),
        )
        for number in range(random.choice([0, 1, 1, 1, 2, 3]))
    ]


def some_polls(random: Random, origin: datetime, now: datetime) -> Iterator[Poll]:
    """Yield random polls, most of them good; some appliances do not respond at the end."""
    steps = (now - origin) // (15 * MINUTE)
    number = random.choice([0, 1, 3, 8, 8])
    times = {origin + random.randrange(steps + 1) * 15 * MINUTE for _ in range(number)}
    if number and random.random() < 0.6:
        times.add(now)
    says_schedules = random.choice([0.0, 0.0, 0.5, 1.0])
    for at in sorted(times):
        ok = random.random() < 0.8
        has_read = ok and random.random() < says_schedules
        yield Poll(at, ok, random.randrange(3) if has_read else None)


def some_jobs(random: Random, appliance: Appliance, origin: datetime) -> Iterator[Job]:
    """Yield random jobs, most around the expected runs, as of the last good poll."""
    starts = [
        run.at + random.choice(AROUND) * MINUTE
        for run in appliance.expected
        for _ in range(random.choice([0, 1, 1, 1, 2, 3]))
    ]
    local = random.choice([0.0, 0.0, 0.3, 1.0])
    starts += [
        origin + random.randrange(11 * 24 * 60) * MINUTE for _ in range(random.choice([0, 0, 2, 6]))
    ]
    for number, start in enumerate(starts):
        if appliance.last_good is None or start > appliance.last_good:
            continue
        end, outcome = start + random.choice(LENGTHS) * MINUTE, random.choice(OUTCOMES)
        finished = outcome not in ("open", "void") and end <= appliance.last_good
        yield Job(
            name=f"{number:03}",
            outcome=outcome if finished or outcome == "void" else "open",
            start=start,
            end=end if finished else None,
            kind=random.choice(KINDS),
            local=random.random() < local,
        )


def some_fleet(random: Random) -> dict[str, Appliance]:
    """Return a random fleet with three policies, which change."""
    origin = random.choice(ORIGINS)
    policies = [some_changes(random, origin) for _ in range(3)]
    start = origin + random.randrange(24 * 12) * 10 * MINUTE
    end = start + DAY + random.randrange(24 * 20) * 15 * MINUTE
    if random.random() < 0.2:  # a change at exactly the end
        policies[0] = (policies[0][0], (end, some_numbers(random)))
    now = end + random.choice([0 * HOUR, 0 * HOUR, HOUR, 5 * HOUR, 2 * DAY])
    fleet = {}
    for number in range(HISTORIES):
        begins = [
            origin + random.randrange(480) * HOUR / 2 for _ in range(random.choice([0, 0, 2]))
        ]
        rows = some_schedules(random, origin)
        appliance = Appliance(
            jobs=(),
            polls=tuple(some_polls(random, origin, now)),
            reported=tuple(row for row in rows if row.seen is None or row.seen <= now),
            exclusions=tuple((at, at + random.randrange(1, 48) * HOUR / 2) for at in begins),
            own_zone=random.choice([None, *ZONES]),
            set_zone=random.choice([None, *ZONES]),
            details=random.choice([None, True, False]),
            changes=random.choice(policies),
            start=start,
            end=end,
            now=now,
        )
        if origin.year < 2016:  # times of jobs are not plausible then
            fleet[f"vc-{number:02}"] = appliance
            continue
        fleet[f"vc-{number:02}"] = replace(
            appliance, jobs=tuple(some_jobs(random, appliance, origin))
        )
    return fleet


def clock(span: timedelta) -> str:
    """Return a time of day as text."""
    return f"{span // HOUR % 24:02}:{span % HOUR // MINUTE:02}"


def policy_of(
    changes: tuple[tuple[datetime, Numbers], ...],
    **more: Any,  # noqa: ANN401 # any field
) -> Policy:
    """Return a policy of backupkit."""
    (_, numbers), *later = changes
    plan, window = numbers.schedule, numbers.window
    return Policy(
        rpo=numbers.threshold,
        grace="0h",
        early=numbers.early,
        late=numbers.late,
        completion=numbers.completion,
        staleness=numbers.staleness,
        anchor="start" if numbers.anchor == "start" else "end",
        count_local=numbers.count_local,
        unknown_mode="strict" if numbers.unknown_mode == "strict" else "evidence",
        backup_day=clock(numbers.backup_day),
        window=window and f"{clock(window[0])}-{clock(sum(window, 0 * HOUR))}",
        window_tolerance=numbers.window_tolerance,
        duration_limit=numbers.duration_limit,
        schedule=plan
        and {
            "time": f"{plan[0]:02}:{plan[1]:02}",
            "days": [WEEKDAYS[day] for day in plan[2]] or list(WEEKDAYS),
        },
        changes={date: policy_of(((date, changed),)) for date, changed in later},
        **more,
    )


def assess_fleet(fleet: dict[str, Appliance]) -> Assessment:
    """Evaluate a fleet by backupkit."""
    any_appliance = next(iter(fleet.values()))
    jobs = [(name, job) for name, appliance in fleet.items() for job in appliance.jobs]
    polls = [
        {
            "appliance": name,
            "polled_at": poll.at,
            "ok": poll.ok,
            "details": appliance.details if poll.ok else None,
            "timezone": appliance.own_zone,
            "schedules_read": poll.schedules,
        }
        for name, appliance in fleet.items()
        for poll in appliance.polls
    ]
    schedules = [
        {
            "appliance": name,
            "schedule": row.schedule,
            "seen_at": row.seen,
            "enabled": row.enabled,
            "hour": row.hour,
            "minute": row.minute,
            "days": [WEEKDAYS[day] for day in row.days] or None,
            "timezone": row.zone,
        }
        for name, appliance in fleet.items()
        for row in appliance.reported
    ]
    distinct = list({appliance.changes for appliance in fleet.values()})
    policy = policy_of(
        distinct[0],
        named={f"p{number}": policy_of(changes) for number, changes in enumerate(distinct)},
        members=[
            Member(
                appliance=name,
                timezone=appliance.set_zone,
                policy=f"p{distinct.index(appliance.changes)}",
            )
            for name, appliance in fleet.items()
        ],
        exclusions=[
            Exclusion(reason="works", start=begin, end=end, appliances=[name])
            for name, appliance in fleet.items()
            for begin, end in appliance.exclusions
        ],
    )
    return evaluate_frames(
        frame(
            JOBS,
            (
                {
                    "appliance": name,
                    "job_id": job.name,
                    "state": STATE_OF[job.outcome],
                    "outcome": job.outcome,
                    "start_time": job.start,
                    "end_time": job.end,
                    "type": job.kind,
                    "location": "file:///storage" if job.local else "sftp://nas/vc",
                }
                for name, job in jobs
            ),
        ),
        frame(POLLS, polls),
        frame(SCHEDULES, schedules),
        policy,
        start=any_appliance.start,
        end=any_appliance.end,
        now=any_appliance.now,
    )


def plain(value: Any) -> Any:  # noqa: ANN401 # any cell
    """Return a cell as a Python object, None where it is missing."""
    if value is None or pd.isna(value):
        return None
    if isinstance(value, pd.Timestamp):
        return value.to_pydatetime()
    return value.to_pytimedelta() if isinstance(value, pd.Timedelta) else value


def rows_of(frame: pd.DataFrame | None, *columns: str) -> list[tuple[Any, ...]]:
    """Return the rows of a frame, or none without a frame."""
    if frame is None:
        return []
    return [tuple(map(plain, row)) for row in frame[list(columns)].itertuples(index=False)]


def is_equal(got: object, expected: object) -> bool:
    """Compare exactly, ratios to 12 digits, and means to the microsecond."""
    if isinstance(expected, float) and isinstance(got, float):
        return got == pytest.approx(expected, abs=1e-12)
    if isinstance(expected, timedelta) and isinstance(got, timedelta):
        return abs(got - expected) <= timedelta(microseconds=1)
    return got == expected


@pytest.mark.property
@pytest.mark.parametrize("part", range(2))
def test_reference(part: int) -> None:
    """Every figure, interval, slot and incident is that of the reference."""
    seen: set[str] = set()

    @seed(part)
    @given(random=st.randoms(use_true_random=True))
    @settings(
        max_examples=EXAMPLES // 2,
        database=None,
        phases=[Phase.generate],  # a random fleet does not shrink
    )
    def agree(random: Random) -> None:
        fleet = some_fleet(random)
        a = assess_fleet(fleet)
        intervals = dict(list(a.intervals.groupby("appliance")))
        slots = dict(list(a.slots.groupby("appliance")))
        incidents = dict(list(a.incidents.groupby("appliance")))
        for name, appliance in fleet.items():
            row = a.appliances.loc[name]
            expected = figures(appliance)
            got = {figure: plain(row[figure]) for figure in expected}
            differ = {
                figure: (got[figure], expected[figure])
                for figure in expected
                if not is_equal(got[figure], expected[figure])
            }
            assert not differ, (name, differ, appliance)
            assert rows_of(intervals[name], "start", "end", "state") == appliance.intervals(), (
                appliance
            )
            got_slots = rows_of(slots.get(name), "slot", "deadline", "state", "attempts")
            assert got_slots == [
                (slot.at, slot.deadline, slot.state, len(slot.attempts))
                for slot in appliance.slots_in_period()
            ], appliance
            assert rows_of(incidents.get(name), "onset", "recovery", "kind") == [
                (one.onset, one.recovery, one.kind) for one in appliance.incidents()
            ], appliance
            seen.update(state for _, _, state in appliance.intervals())
            seen.update(f"slot {slot.state}" for slot in appliance.slots_in_period())

    agree()
    assert len(seen) == 5 + 9  # every state of an appliance and of a slot occurred
