"""Old polls are removed, and no present figure changes."""

import math
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backupkit.assessment import Assessment, evaluate
from backupkit.history import History
from backupkit.history.databases import open_database
from backupkit.history.thinning import thin_polls
from backupkit.policy import Policy
from backupkit.tables import OBSERVATIONS
from tests import raw
from tests.builders import frame, observation, snapshot_of
from tests.conftest import Place, repeats
from tests.equal import assert_equal

DAY = timedelta(days=1)
KEEP = 10 * DAY
BEGIN = datetime(2026, 1, 1, tzinfo=UTC)


def polled(*polls: tuple[str, timedelta, bool | None], **more: object) -> SimpleNamespace:
    """Return a snapshot of polls alone, at these times after the beginning."""
    return snapshot_of(
        polls=[
            {
                "appliance": name,
                "polled_at": BEGIN + when,
                "ok": ok,
                "error": "unreachable" if ok is False else None,
                "detail": f"at {when}" if ok is False else None,
                **more,
            }
            for name, when, ok in polls
        ]
    )


def thinned(history: History, now: datetime, keep: timedelta = KEEP) -> int:
    """Thin until nothing is left to do; return the number of removed polls."""
    database = open_database(history.uri, create=False)
    moment, span = (
        one // timedelta(microseconds=1) for one in (now - datetime(1970, 1, 1, tzinfo=UTC), keep)
    )
    total, done = 0, -1
    while True:
        total += database.write(lambda connection: thin_polls(connection, moment, span))
        [(reached,)] = raw.run(history.uri, "SELECT thinned_to FROM history")
        if reached == done:
            return total
        done = reached


def hours(history: History, name: str = "vc-1") -> list[float]:
    """Return the times of an appliance's polls [h after the beginning]."""
    times = history.polls(appliances=[name])["polled_at"]
    return [(one - BEGIN) / timedelta(hours=1) for one in times]


def every(hour: float, first: float, last: float) -> list[tuple[str, timedelta, bool | None]]:
    """Return good polls of vc-1 at a fixed interval [h]."""
    count = math.ceil((last - first) / hour)
    return [("vc-1", timedelta(hours=first + hour * n), True) for n in range(count)]


class TestThin:
    """Exactly the needed polls stay."""

    def test_first_and_last_of_a_day(self, target: str) -> None:
        """The first and the last good poll of each old day stay, and all of recent days."""
        history = History(target, keep_polls=None)
        for day in range(5):
            history.append(polled(*every(4, 24 * day + 1, 24 * (day + 1))))
        recent = every(4, 24 * 20 + 1, 24 * 24)
        history.append(polled(*recent))
        now = BEGIN + 40 * DAY
        assert thinned(history, now) == 5 * 4
        old = [hour for day in range(5) for hour in (24 * day + 1, 24 * day + 21)]
        assert hours(history) == old + [when / timedelta(hours=1) for _, when, _ in recent]
        assert history.verify().empty
        assert thinned(history, now) == 0

    def test_changes(self, target: str) -> None:
        """Both sides of each change between good and failed stay."""
        history = History(target, keep_polls=None)
        good = [True, True, True, False, False, False, False, True, True, True, None, True, True]
        history.append(polled(*(("vc-1", timedelta(hours=1 + n), ok) for n, ok in enumerate(good))))
        history.append(polled(*every(1, 24 * 20, 24 * 21)))
        assert thinned(history, BEGIN + 40 * DAY) == 7
        assert hours(history)[:7] == [1, 3, 4, 7, 8, 13, 24 * 20]
        failed = history.polls(since=BEGIN, at=BEGIN + DAY)["error"].dropna()
        assert len(failed) == 2
        assert history.verify().empty

    def test_counts(self, target: str) -> None:
        """Removed polls are still counted, and recorded without a name."""
        history = History(target, keep_polls=None)
        history.append(polled(*every(1, 0, 24), ("vc-1", timedelta(minutes=5), None)))
        history.append(polled(*every(1, 24 * 20, 24 * 21)))
        assert thinned(history, BEGIN + 40 * DAY) == 22 + 1
        assert raw.run(target, "SELECT polls, polls_ok FROM appliances") == [(48, 48)]
        [(kind, count)] = raw.run(
            target, "SELECT kind, polls FROM appends ORDER BY id DESC LIMIT 1"
        )
        assert (kind, count) == ("thin", 23)

    def test_unreachable_appliance(self, target: str) -> None:
        """The number of failed polls of an unreachable appliance is bounded."""
        history = History(target, keep_polls=None)
        history.append(polled(*every(1, 0, 48)))
        failed = [("vc-1", 3 * DAY + timedelta(hours=n), False) for n in range(48)]
        history.append(polled(*failed))
        history.append(polled(("vc-2", 100 * DAY, True)))
        before = evaluated(history, BEGIN + 100 * DAY)
        gone = thinned(history, BEGIN + 400 * DAY)
        assert gone == 22 + 2 + 2 * 22  # the newest 21 good ones stay
        assert hours(history)[:2] == [0, 23]
        assert hours(history)[-4:] == [72, 95, 96, 119]
        assert_equal(evaluated(history, BEGIN + 100 * DAY), before, but=["version"])

    def test_cadence(self, target: str) -> None:
        """The polls that give the cadence stay, however old they are."""
        history = History(target, keep_polls=None)
        history.append(polled(*every(2, 0, 48)))  # 24 of them
        history.append(polled(("vc-1", 100 * DAY, True)))
        before = evaluated(history, BEGIN + 101 * DAY)
        gone = thinned(history, BEGIN + 101 * DAY)
        assert gone == 3  # all but the newest 20, and the day's first
        assert_equal(evaluated(history, BEGIN + 101 * DAY), before, but=["version"])

    def test_continues(self, target: str) -> None:
        """Each append thins a few earlier appends, and continues where the last one ended."""
        history = History(target, keep_polls=None)
        for hour in range(20):
            history.append(polled(("vc-1", timedelta(hours=hour), True)))
        history = History(target, keep_polls=KEEP)
        history.append(polled(*every(1, 24 * 20, 24 * 22)))
        lengths = []
        for number in range(4):
            lengths.append(len(hours(history)) - number)
            history.append(polled(("vc-1", 30 * DAY + timedelta(hours=number), True)))
        assert lengths == [61, 53, 50, 50]
        assert history.verify().empty

    def test_no_growth(self, target: str) -> None:
        """Two polls of each old day stay."""
        history = History(target, keep_polls=KEEP)
        for week in range(12):
            history.append(polled(*every(1, 24 * 7 * week, 24 * 7 * (week + 1))))
        thinned(history, BEGIN + 84 * DAY)
        assert len(hours(history)) == 24 * 7 * 2 + 2 * 7 * 10
        assert history.verify().empty


POLICY = Policy()


def evaluated(history: History, now: datetime, start: datetime | None = None) -> Assessment:
    """Evaluate a history."""
    return evaluate(history, POLICY, start=start or now - 30 * DAY, end=now, now=now)


@st.composite
def snapshots(draw: st.DrawFn) -> list[SimpleNamespace]:
    """Draw snapshots over some weeks, with long and short intervals."""
    when = timedelta(0)
    made = []
    for _ in range(draw(st.integers(1, 8))):
        polls: list[tuple[str, timedelta, bool | None]] = []
        step = draw(st.sampled_from([0.3, 1.0, 5.0, 24.0]))
        ok: Any = st.sampled_from([True, True, True, False, None])
        for _ in range(draw(st.integers(1, 30))):
            when += timedelta(hours=step)
            polls += [
                (name, when, draw(ok))
                for name in draw(st.sampled_from([("vc-1",), ("vc-1", "vc-2")]))
            ]
        made.append(polled(*polls, clock_skew=draw(st.sampled_from([None, timedelta(hours=1)]))))
        when += draw(st.sampled_from([0, 1, 40])) * DAY
    last = made[-1].polls["polled_at"].max().to_pydatetime()
    jobs = [
        observation("vc-1", f"{day}", "SUCCEEDED", observed_at=last, start_time=BEGIN + day * DAY)
        for day in range(0, (last - BEGIN) // DAY, 3)
    ]
    made[-1].observations = frame(OBSERVATIONS, jobs)
    return made


@pytest.mark.property
@settings(max_examples=repeats(3, 20))
@given(made=snapshots(), data=st.data())
def test_figures_stay(place: Place, made: list[SimpleNamespace], data: st.DataObject) -> None:
    """An assessment is the same before and after thinning."""
    with place() as target:
        history = History(target, keep_polls=None)
        for one in made:
            history.append(one)
        end = history.polls()["polled_at"].max().to_pydatetime()
        now = end + data.draw(st.sampled_from([0, 5, 60])) * DAY
        span = data.draw(st.sampled_from([1, 7, 90])) * DAY
        start = now - span - data.draw(st.integers(0, 100)) * timedelta(hours=7)
        periods = [(start, start + span), (now - span, now)]

        def figures() -> list[Assessment]:
            return [
                evaluate(history, POLICY, start=first, end=last, now=now) for first, last in periods
            ]

        before = figures()
        kept = data.draw(st.sampled_from([1, 3, 10])) * DAY
        gone = thinned(history, now, kept)
        assert len(history.polls()) == sum(len(one.polls) for one in made) - gone
        for after, then in zip(figures(), before, strict=True):
            assert_equal(after, then, but=["version"])
        assert history.verify().empty
