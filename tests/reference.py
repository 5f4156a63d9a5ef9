"""A slow reference implementation of docs/sla.md, which shares no code with backupkit.

Each appliance is evaluated alone, with the standard library. Time is cut wherever something
changes, and each piece is judged in its middle, so that no rule about the instant of a change
matters.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from functools import cached_property
from itertools import pairwise
from statistics import median
from typing import NamedTuple
from zoneinfo import ZoneInfo

HOUR, DAY, NOTHING = timedelta(hours=1), timedelta(days=1), timedelta(0)


@dataclass(frozen=True)
class Job:
    """A job with the outcome success, failure, open, void or other."""

    name: str
    outcome: str
    start: datetime
    end: datetime | None
    kind: str | None
    local: bool = False  # saved on the appliance itself


@dataclass(frozen=True)
class ScheduleRow:
    """A schedule as seen at a time; without one, it covers all earlier time."""

    schedule: str
    seen: datetime | None
    enabled: bool
    hour: int
    minute: int
    days: tuple[int, ...]
    zone: str | None = None


@dataclass(frozen=True)
class Numbers:
    """The numbers of a policy."""

    threshold: timedelta
    early: timedelta
    late: timedelta
    completion: timedelta | None
    staleness: timedelta | None
    anchor: str
    count_local: bool
    unknown_mode: str
    backup_day: timedelta
    window: tuple[timedelta, timedelta] | None
    window_tolerance: timedelta
    duration_limit: timedelta | None
    schedule: tuple[int, int, tuple[int, ...]] | None

    @property
    def longest_early(self) -> timedelta:
        """The time before a slot in which its run may start, at most half a week."""
        return min(self.early, timedelta(days=3, hours=12))


@dataclass(frozen=True)
class Poll:
    """A poll, and how many schedules it says that it read."""

    at: datetime
    ok: bool
    schedules: int | None = None


class Run(NamedTuple):
    """An expected run and the next one, each with the tolerance if the clock skips its time."""

    at: datetime
    dst_tolerance: timedelta
    following: datetime
    next_dst_tolerance: timedelta
    previous: datetime | None = None


@dataclass(frozen=True)
class Slot:
    """An expected run and its state."""

    at: datetime
    deadline: datetime
    state: str
    attempts: tuple[Job, ...]
    overdue: datetime | None


@dataclass(frozen=True)
class Incident:
    """A time without protection; without a recovery it is open."""

    onset: datetime
    recovery: datetime | None
    kind: str


@dataclass(frozen=True)
class Appliance:
    """One appliance and the period for which it is evaluated."""

    jobs: tuple[Job, ...]
    polls: tuple[Poll, ...]
    reported: tuple[ScheduleRow, ...]
    exclusions: tuple[tuple[datetime, datetime], ...]
    own_zone: str | None  # as it reports it
    set_zone: str | None  # as fleet.toml has it
    details: bool | None  # of the API, in each good poll
    changes: tuple[tuple[datetime, Numbers], ...]  # the first has the earliest date
    start: datetime
    end: datetime
    now: datetime

    # knowledge

    @cached_property
    def last_good(self) -> datetime | None:
        """Time of the newest good poll."""
        return max((poll.at for poll in self.polls if poll.ok), default=None)

    def numbers_at(self, moment: datetime) -> Numbers:
        """Return the policy in force at a moment."""
        return next(numbers for date, numbers in reversed(self.changes) if date <= moment)

    @property
    def numbers(self) -> Numbers:
        """The policy in force right before the end of the period."""
        return self.numbers_at(self.end - timedelta(microseconds=1))

    @cached_property
    def known_since(self) -> datetime | None:
        """The first good poll or the start of the oldest job; None without a good poll."""
        if self.last_good is None:
            return None
        first = min(poll.at for poll in self.polls if poll.ok)
        return min([first, *(job.start for job in self.jobs)])

    def known_by(self, numbers: Numbers) -> datetime | None:
        """Return the last good poll plus the allowance, but not after the next failed poll."""
        if self.last_good is None:
            return None
        good = sorted({poll.at for poll in self.polls if poll.ok})
        apart = good[-1:]  # counted back, in steps of an hour or more
        for at in reversed(good):
            if at <= apart[-1] - HOUR:
                apart.append(at)
        gaps = [later - earlier for later, earlier in pairwise(apart[:21])]
        usual = median(gap / HOUR for gap in gaps) * HOUR if len(gaps) >= 10 else DAY
        allowance = usual if numbers.staleness is None else numbers.staleness
        failed = [poll.at for poll in self.polls if not poll.ok and poll.at > self.last_good]
        return min([self.last_good + allowance, *failed])

    @cached_property
    def since(self) -> datetime:
        """Begin of the time that counts."""
        if self.known_since is not None:
            return self.known_since
        # an appliance that was never read is unknown, with or without a poll
        return min([self.start, *(poll.at for poll in self.polls)])

    def is_excluded(self, moment: datetime) -> bool:
        """Return whether an exclusion holds at a moment."""
        return any(begin <= moment < end for begin, end in self.exclusions)

    # recovery points and states

    @cached_property
    def counted(self) -> list[Job]:
        """The jobs without those that are no recovery points, as they are on the appliance."""
        return [
            job
            for job in self.jobs
            if not job.local
            or job.outcome not in ("success", "other")
            or self.numbers_at(job.end or job.start).count_local
        ]

    def successes(self, numbers: Numbers) -> list[tuple[datetime, datetime]]:
        """Return each success: when it was available, and the time that it can restore."""
        by_start = numbers.anchor == "start"
        return [
            (job.end, job.start if by_start else job.end)
            for job in self.counted
            if job.outcome == "success" and job.end is not None
        ]

    def exposure(self, moment: datetime, numbers: Numbers) -> timedelta | None:
        """Return the age of the newest recovery point; None without a success."""
        points = [point for available, point in self.successes(numbers) if available <= moment]
        return max(moment - max(points), NOTHING) if points else None

    def state(self, moment: datetime) -> str:  # noqa: PLR0911 # one for each rule
        """Return the state at a moment, which must not be that of a change."""
        numbers = self.numbers_at(moment)
        exposed, known_until = self.exposure(moment, numbers), self.known_by(numbers)
        compliant = exposed is not None and exposed <= numbers.threshold
        if self.is_excluded(moment):
            return "excluded"
        if moment < self.since:
            return "unobserved"
        if known_until is None or self.known_since is None:
            return "unknown"
        if moment >= known_until and self.end > known_until:
            evident = numbers.unknown_mode == "evidence" and compliant
            return "compliant" if evident else "unknown"
        if compliant:
            return "compliant"
        if exposed is None and moment - self.known_since <= numbers.threshold:
            return "excluded"
        return "breach"

    @cached_property
    def pieces(self) -> list[tuple[datetime, datetime, str]]:
        """The period, cut wherever the state may change."""
        cuts = {self.since, *(at for pair in self.exclusions for at in pair)}
        for date, numbers in self.changes:
            theta = numbers.threshold
            cuts |= {date, self.since + theta}
            for available, point in self.successes(numbers):
                cuts |= {available, point + theta}
            if (known_until := self.known_by(numbers)) is not None:
                cuts.add(known_until)
        inside = sorted(cut for cut in cuts if self.start < cut < self.end)
        bounds = [self.start, *inside, self.end]
        return [
            (begin, end, self.state(begin + (end - begin) / 2)) for begin, end in pairwise(bounds)
        ]

    def intervals(self) -> list[tuple[datetime, datetime, str]]:
        """Join adjacent pieces of the same state."""
        joined: list[tuple[datetime, datetime, str]] = []
        for begin, end, state in self.pieces:
            if joined and joined[-1][2] == state:
                joined[-1] = (joined[-1][0], end, state)
            else:
                joined.append((begin, end, state))
        return joined

    def spent(self, state: str) -> timedelta:
        """Return the time in a state."""
        return sum((end - begin for begin, end, is_in in self.pieces if is_in == state), NOTHING)

    def worst_exposure(self) -> timedelta | None:
        """Return the largest exposure in observed time, at the end of a piece."""
        found = []
        for begin, end, state in self.pieces:
            numbers = self.numbers_at(begin)
            exposed = self.exposure(begin, numbers)
            if state in ("compliant", "breach") and exposed is not None:
                successes = self.successes(numbers)
                points = [point for available, point in successes if available <= begin]
                found.append(max(end - max(points), NOTHING))
        return max(found, default=None)

    def mean_exposure(self) -> timedelta | None:
        """Return the exposure in observed time with a recovery point, averaged over that time."""
        area = hours = 0.0
        for begin, end, state in self.pieces:
            exposed = self.exposure(begin, self.numbers_at(begin))
            if state in ("compliant", "breach") and exposed is not None:
                length = (end - begin) / HOUR
                area += length * (exposed / HOUR + length / 2)
                hours += length
        return area / hours * HOUR if hours else None

    # slots

    @cached_property
    def schedules(self) -> tuple[ScheduleRow, ...]:
        """The schedules: those reported, else those of the policy if the API has none."""
        if self.reported or self.details is not False or self.last_good is None:
            return self.reported
        plans = [
            (None if number == 0 else date, numbers.schedule)
            for number, (date, numbers) in enumerate(self.changes)
        ]
        if all(plan is None for _, plan in plans):
            return ()
        return tuple(
            ScheduleRow("policy", date, plan is not None, *(plan or (0, 0, ())))
            for date, plan in plans
        )

    @cached_property
    def first_read(self) -> datetime | None:
        """Time of the first poll that read the schedules."""
        stated = [poll.at for poll in self.polls if poll.ok and poll.schedules is not None]
        silent = [poll.at for poll in self.polls if poll.ok and self.details]
        return min(stated or silent, default=None)

    def zone_of(self, plan: ScheduleRow | None) -> str:
        """Return the zone of a schedule."""
        own = None if self.last_good is None else self.own_zone
        zones = (None if plan is None else plan.zone, own, self.set_zone, "UTC")
        return next(zone for zone in zones if zone is not None)

    @cached_property
    def zone(self) -> str:
        """The zone of the appliance at the end of the period: of its first schedule by name."""
        current = {}
        for plan in self._in_order():
            covers_start = plan.schedule not in current and not self._is_created(plan)
            if covers_start or (plan.seen is not None and plan.seen <= self.end):
                current[plan.schedule] = plan
        return self.zone_of(current[min(current)] if current else None)

    def _in_order(self) -> list[ScheduleRow]:
        return sorted(self.schedules, key=lambda plan: (plan.seen is not None, plan.seen))

    def _is_created(self, plan: ScheduleRow) -> bool:
        """Return whether an earlier poll had read the schedules without it."""
        first = next(row for row in self._in_order() if row.schedule == plan.schedule)
        read = self.first_read
        return first.seen is not None and read is not None and read < first.seen

    def instant(self, wall: datetime, zone: str) -> tuple[datetime, timedelta]:
        """Return the instant of a wall time, and the tolerance if the clock skips it."""
        aware = wall.replace(tzinfo=ZoneInfo(zone))
        before, after = aware.utcoffset(), aware.replace(fold=1).utcoffset()
        assert before is not None
        assert after is not None
        return (wall - before).replace(tzinfo=UTC), max(after - before, NOTHING)

    def _runs_of(self, plan: ScheduleRow) -> Iterator[Run]:
        """Yield the runs that one row of a schedule expects."""
        first = (min(self.start, self.since) - 20 * DAY).date()
        last = (self.now + 20 * DAY).date()
        days = [first + number * DAY for number in range((last - first).days)]
        wanted = [day for day in days if not plan.days or day.weekday() in plan.days]
        clock, zone = time(plan.hour, plan.minute), self.zone_of(plan)
        found: dict[datetime, timedelta] = {}
        for day in wanted:
            at, tolerance = self.instant(datetime.combine(day, clock), zone)
            found[at] = min(tolerance, found.get(at, tolerance))
        for run, following in pairwise(sorted(found.items())):
            yield Run(*run, *following)

    @cached_property
    def planned(self) -> list[Run]:
        """The runs that all schedules together expect."""
        found: dict[datetime, tuple[str, Run]] = {}
        ordered = self._in_order()
        for number, plan in enumerate(ordered):
            is_first = all(other.schedule != plan.schedule for other in ordered[:number])
            begin = None if is_first and not self._is_created(plan) else plan.seen
            later = [row.seen for row in ordered[number + 1 :] if row.schedule == plan.schedule]
            until = later[0] if later else None
            if not plan.enabled:
                continue
            for run in self._runs_of(plan):
                if (begin is None or run.at >= begin) and (until is None or run.at < until):
                    entry = (plan.schedule, run)
                    found[run.at] = min(found.get(run.at, entry), entry)
        times = sorted(found)
        listed: list[Run] = []
        for number, at in enumerate(times):
            run = found[at][1]
            after = times[number + 1] if number + 1 < len(times) else None
            if after is not None and after <= run.following:
                run = run._replace(
                    following=after, next_dst_tolerance=found[after][1].dst_tolerance
                )
            before = listed[-1] if listed else None
            if before is not None:
                is_planned_between = before.following < at
                run = run._replace(previous=before.following if is_planned_between else before.at)
            listed.append(run)
        return listed

    @property
    def expected(self) -> list[Run]:
        """The expected runs of the time that counts."""
        return [run for run in self.planned if run.at >= self.since]

    @cached_property
    def slots(self) -> list[Slot]:
        """The slots up to the end of the period."""
        slots = []
        for run in self.expected:
            if run.at >= self.end:
                break
            early = self.numbers_at(run.at).longest_early + run.dst_tolerance
            if run.previous is not None:
                early = min(early, (run.at - run.previous) / 2)
            next_early = self.numbers_at(run.following).longest_early + run.next_dst_tolerance
            upper = run.following - min(next_early, (run.following - run.at) / 2)
            slots.append(self._slot(run.at, run.at - early, upper, run.dst_tolerance))
        return slots

    def _slot(
        self, at: datetime, lower: datetime, upper: datetime, dst_tolerance: timedelta
    ) -> Slot:
        """Return a slot with its state."""
        numbers = self.numbers_at(at)
        known_until = self.known_by(numbers)
        target = None if numbers.completion is None else at + numbers.completion
        deadline = upper if target is None else min(upper, target)
        overdue = at + numbers.late + dst_tolerance
        attempts = sorted(
            (job for job in self.counted if job.outcome != "void" and lower <= job.start < upper),
            key=lambda job: (job.start, job.name),
        )
        good = [job.end for job in attempts if job.outcome == "success" and job.end is not None]
        in_time = any(end <= deadline for end in good)
        planned = next((job for job in attempts if self.kind(job) == "SCHEDULED"), None)
        met = (
            planned is not None
            and planned.outcome == "success"
            and planned.end is not None
            and planned.end <= deadline
            and planned.start <= overdue
        )
        evidence = None if self.last_good is None else min(self.last_good, self.now)
        passed = evidence is not None and evidence >= deadline
        due = evidence is not None and evidence >= overdue
        started_in_time = bool(attempts) and attempts[0].start <= overdue
        if self.is_excluded(at):
            state = "excluded"
        elif met:
            state = "met"
        elif in_time:
            state = "rescued"
        elif good:
            state = "late"
        elif any(job.outcome == "other" for job in attempts):
            state = "unknown"
        elif passed and any(job.outcome == "open" for job in attempts):
            state = "missed_overrun"
        elif passed and attempts:
            state = "missed_failed"
        elif (passed or due) and not attempts:
            state = "missed_norun"
        elif known_until is not None and known_until >= self.now:
            state = "pending"
        else:
            state = "unknown"
        late = overdue if due and not started_in_time else None
        return Slot(at, deadline, state, tuple(attempts), late)

    def kind(self, job: Job) -> str:
        """Return the type of a job, derived from the schedule where it is missing."""
        if job.kind is not None:
            return job.kind
        near = any(abs(job.start - at) <= timedelta(minutes=10) for at, *_ in self.planned)
        return "SCHEDULED" if near else "MANUAL"

    def slots_in_period(self) -> list[Slot]:
        """Return the slots of the period."""
        return [slot for slot in self.slots if slot.at >= self.start]

    def first_attempts(self) -> list[str]:
        """Return the outcomes of first attempts, except of excluded and pending slots."""
        skipped = ("excluded", "pending")
        counted = [slot for slot in self.slots_in_period() if slot.state not in skipped]
        firsts = [slot.attempts[0].outcome for slot in counted if slot.attempts]
        return [outcome for outcome in firsts if outcome in ("success", "failure", "open")]

    # attempts, failures in a row, incidents, days

    @cached_property
    def finished(self) -> list[tuple[datetime, bool]]:
        """End of each finished job that counts, and whether it succeeded."""
        return list_ends(self.counted)

    def attempts(self) -> list[bool]:
        """Return whether each job that ended in the period succeeded."""
        return [good for end, good in list_ends(self.jobs) if self.start <= end < self.end]

    def failures_in_a_row(self) -> tuple[int, int]:
        """Count the failures since the last success, and the longest series in the period."""
        streak = worst = 0
        for end, good in self.finished:
            if end > self.end:
                break
            if end > self.start:
                worst = max(worst, streak)
            streak = 0 if good else streak + 1
            if end >= self.start:
                worst = max(worst, streak)
        return streak, max(worst, streak)

    def incidents(self) -> list[Incident]:
        """Return the incidents that overlap the period."""
        events = [
            (end, 2 if good else 0)
            for end, good in self.finished
            if good or not self.is_excluded(end)
        ]
        events += [
            (slot.overdue, 1)
            for slot in self.slots
            if slot.overdue is not None and slot.state != "excluded"
        ]
        found: list[Incident] = []
        onset: tuple[datetime, str] | None = None
        for at, what in sorted(event for event in events if event[0] <= self.end):
            if what != 2 and onset is None:
                onset = (at, ("failed", "norun")[what])
            elif what == 2 and onset is not None:
                found.append(Incident(onset[0], at, onset[1]))
                onset = None
        if onset is not None:
            found.append(Incident(onset[0], None, onset[1]))
        return [
            incident
            for incident in found
            if incident.onset < self.end
            and (incident.recovery is None or incident.recovery > self.start)
        ]

    def mean_times(self) -> tuple[timedelta | None, timedelta | None]:
        """Return the mean time to restore protection and the mean time between incidents."""
        found = self.incidents()
        new = [incident for incident in found if incident.onset >= self.start]
        closed = [
            incident.recovery - incident.onset for incident in new if incident.recovery is not None
        ]
        mttr = sum(closed, NOTHING) / len(closed) if closed else None
        calm = NOTHING
        for begin, end, state in self.pieces:
            if state in {"unknown", "unobserved"} or self.is_excluded(begin):
                continue
            calm += end - begin
            for incident in found:
                recovery = self.end if incident.recovery is None else incident.recovery
                both = min(end, recovery) - max(begin, incident.onset)
                calm -= max(both, NOTHING)
        return mttr, calm / len(new) if new else None

    def days(self) -> tuple[int, int]:
        """Count the backup days that were observed completely, and those without a success."""
        days = [(self.start - 4 * DAY).date() + number * DAY for number in range(60)]
        ends = [*(date for date, _ in self.changes[1:]), None]
        total = missed = 0
        free = datetime.min.replace(tzinfo=UTC)
        for (since, numbers), until in zip(self.changes, ends, strict=True):
            clock = time(*divmod(numbers.backup_day // timedelta(minutes=1), 60))
            starts = {self.instant(datetime.combine(day, clock), self.zone)[0] for day in days}
            for begin, end in pairwise(sorted(starts)):
                if begin < max(since, free) or (until is not None and begin >= until):
                    continue
                free = end
                if begin < self.start or end > self.end or self._is_partly_unobserved(begin, end):
                    continue
                total += 1
                missed += not any(good and begin <= at < end for at, good in self.finished)
        return total, missed

    def _is_partly_unobserved(self, begin: datetime, end: datetime) -> bool:
        return any(
            max(begin, first) < min(end, last)
            and (state in ("unknown", "unobserved") or self.is_excluded(first))
            for first, last, state in self.pieces
        )

    # window and duration

    def _scheduled(self) -> Iterator[tuple[Job, datetime | None, Numbers]]:
        """Yield the scheduled jobs of the period with their ends, None for running ones."""
        for job in self.jobs:
            if self.kind(job) != "SCHEDULED":
                continue
            ended = job.end if job.outcome in ("success", "failure") else None
            runs = job.outcome == "open" or (ended is not None and ended >= self.end)
            if runs and job.start < self.end:
                yield job, None, self.numbers
            elif ended is not None and self.start <= ended < self.end:
                yield job, ended, self.numbers_at(ended)

    def window_figures(self) -> tuple[int, int, int, timedelta]:
        """Return runs, runs inside their windows, running ones past it, and the overrun."""
        total = inside = running = 0
        overrun = NOTHING
        for job, ended, numbers in self._scheduled():
            if numbers.window is None:
                continue
            opened, closed = self._nearest_window(job.start, *numbers.window)
            over = max((self.end if ended is None else ended) - closed, NOTHING)
            if ended is None:
                running += over > NOTHING
                continue
            total += 1
            overrun += over
            inside += job.start >= opened - numbers.window_tolerance and over == NOTHING
        return total, inside, running, overrun

    def _nearest_window(
        self, moment: datetime, opens: timedelta, length: timedelta
    ) -> tuple[datetime, datetime]:
        """Return when the nearest window opened and closed; in the middle, the later one."""
        wall = moment.astimezone(ZoneInfo(self.zone)).replace(tzinfo=None)
        midnight = datetime.combine(wall.date(), time())
        windows = []
        for number in range(-3, 4):
            clock = midnight + number * DAY + opens
            opened, closed = (self.instant(at, self.zone)[0] for at in (clock, clock + length))
            windows.append((opened, closed))
        begun = [
            window
            for before, window in pairwise(windows)
            if moment >= window[0] - max(window[0] - before[1], NOTHING) / 2
        ]
        return begun[-1]

    def duration_figures(self) -> tuple[int, int]:
        """Return the runs, and those that took no longer than the limit."""
        total = kept = 0
        for job, ended, numbers in self._scheduled():
            if numbers.duration_limit is not None:
                total += 1
                kept += (ended or self.end) - job.start <= numbers.duration_limit
        return total, kept

    def has_rule(self, name: str) -> bool:
        """Return whether a policy of some part of the period has a value."""
        begins = [max(date, self.start) for date, _ in self.changes]
        ends = [*begins[1:], self.end]
        parts = zip(self.changes, begins, ends, strict=True)
        return any(
            getattr(numbers, name) is not None
            for (_, numbers), begin, end in parts
            if begin < min(end, self.end)
        )


def list_ends(jobs: Sequence[Job]) -> list[tuple[datetime, bool]]:
    """Return the end of each finished job, and whether it succeeded; a failure before a success."""
    return sorted(
        (job.end, job.outcome == "success")
        for job in jobs
        if job.outcome in ("success", "failure") and job.end is not None
    )


def share(part: float, total: float) -> float | None:
    """Return a ratio, or None without a denominator."""
    return part / total if total else None


def figures(appliance: Appliance) -> dict[str, object]:
    """Return the figures of an appliance by their names."""
    compliant, breach, unknown = (
        appliance.spent(state) / HOUR for state in ("compliant", "breach", "unknown")
    )
    slots = [slot.state for slot in appliance.slots_in_period()]

    def number(*prefixes: str) -> int:
        return sum(state.startswith(prefixes) for state in slots)

    good, on_time = number("met", "rescued", "late"), number("met", "rescued")
    resolved = good + number("missed")
    counted = resolved + number("unknown")
    strikes, worst = appliance.failures_in_a_row()
    mttr, mtbf = appliance.mean_times()
    days, missed = appliance.days()
    windows, runs = appliance.window_figures(), appliance.duration_figures()
    firsts, attempts = appliance.first_attempts(), appliance.attempts()
    since: Callable[[Sequence[Incident]], datetime | None] = lambda found: next(  # noqa: E731
        (incident.onset for incident in found if incident.recovery is None), None
    )
    return {
        **{state: appliance.spent(state) for state in STATES},
        **{f"slots_{state}": slots.count(state) for state in SLOT_STATES},
        "exposure": appliance.exposure(appliance.end, appliance.numbers),
        "worst_exposure": appliance.worst_exposure(),
        "mean_exposure": appliance.mean_exposure(),
        "rpo_strict": share(compliant, compliant + breach + unknown),
        "rpo_observed": share(compliant, compliant + breach),
        "slot_strict": share(good, counted),
        "slot_observed": share(good, resolved),
        "on_time_strict": share(on_time, counted),
        "on_time_observed": share(on_time, resolved),
        "attempts": len(attempts),
        "attempts_ok": attempts.count(True),
        "first_attempts": len(firsts),
        "first_attempts_ok": firsts.count("success"),
        "strikes": strikes,
        "strikes_worst": worst,
        "incidents": sum(one.onset >= appliance.start for one in appliance.incidents()),
        "incident_since": since(appliance.incidents()),
        "incidents_closed": sum(
            one.onset >= appliance.start and one.recovery is not None
            for one in appliance.incidents()
        ),
        "mttr": mttr,
        "mtbf": mtbf,
        "days": days,
        "days_missed": missed,
        **dict(zip(WINDOW, windows if appliance.has_rule("window") else NO_WINDOW, strict=True)),
        **dict(
            zip(
                DURATION,
                runs if appliance.has_rule("duration_limit") else (None, None),
                strict=True,
            )
        ),
    }


WINDOW = ("window_runs", "window_ok", "window_running", "window_overrun")
NO_WINDOW = (None, None, None, None)
DURATION = ("duration_runs", "duration_ok")
STATES = ("compliant", "breach", "unknown", "excluded", "unobserved")
SLOT_STATES = (
    "met",
    "rescued",
    "late",
    "missed_failed",
    "missed_norun",
    "missed_overrun",
    "pending",
    "unknown",
    "excluded",
)
