"""Any JSON and any bytes, as any answer: a typed error, or values that make valid frames."""

import json
import math
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pandas.testing import assert_frame_equal

from backupkit import protocol
from backupkit.collection.poll import PollResult
from backupkit.collection.snapshot import Snapshot, observations_of, snapshot_of
from backupkit.errors import ApplianceError, BackupkitError, PayloadError
from backupkit.tables import ERRORS, JOBS, OBSERVATIONS, POLLS, SCHEDULES, Table
from backupkit.wire import (
    ErrorAnswer,
    Flavour,
    Job,
    Schedule,
    decode_details,
    decode_error,
    decode_job,
    decode_job_ids,
    decode_schedules,
    decode_text,
    decode_version,
)
from tests.api_samples import DOCUMENTS, LEAVES, NAMES, SAMPLES
from tests.api_samples import SUCCEEDED as JOB
from tests.conftest import repeats

NOW = datetime(2026, 11, 9, 6, 0, tzinfo=UTC)


def places(document: Any) -> Iterable[tuple[Any, Any]]:  # noqa: ANN401 # any JSON
    """Return every place in a document: the list or object, and the index or name in it."""
    inside: Iterable[tuple[Any, Any]] = ()
    if isinstance(document, dict):
        inside = document.items()
    elif isinstance(document, list):
        inside = enumerate(document)
    for key, value in list(inside):
        yield document, key
        yield from places(value)


@st.composite
def near_misses(draw: st.DrawFn) -> bytes:
    """Take a good answer, and drop, replace, rename, retype or double some of its parts."""
    document = {"": json.loads(SAMPLES[draw(st.sampled_from(sorted(SAMPLES)))])}
    for _ in range(draw(st.integers(1, 4))):
        holder, key = draw(st.sampled_from(list(places(document))))
        match draw(st.sampled_from(("drop", "replace", "rename", "retype", "move"))):
            case "drop" if holder is not document:
                del holder[key]
            case "rename" if isinstance(key, str) and key:
                holder[draw(st.sampled_from(NAMES))] = holder.pop(key)
            case "retype":
                value = holder[key]
                holder[key] = draw(st.sampled_from((str(value), [value], {"value": value}, None)))
            case "move":
                other, place = draw(st.sampled_from(list(places(document))))
                holder[key] = json.loads(json.dumps(other[place]))
            case _:
                holder[key] = json.loads(json.dumps(draw(LEAVES)))  # a list of its own
    return json.dumps(document[""]).encode()


ANYTHING = (
    DOCUMENTS.map(lambda document: json.dumps(document).encode())
    | near_misses()
    | st.binary(max_size=50)
    | st.sampled_from(sorted(SAMPLES)).map(SAMPLES.__getitem__)
)

DECODERS: dict[str, Callable[[bytes, Flavour], object]] = {
    "text": lambda body, flavour: decode_text(body, flavour, "it"),
    "ids": decode_job_ids,
    "job": lambda body, flavour: decode_job(body, flavour, JOB),
    "details": decode_details,
    "schedules": decode_schedules,
    "version": decode_version,
}


def decoded(name: str, body: bytes, flavour: Flavour) -> Any:  # noqa: ANN401 # the decoder knows
    """Decode, and hold any error to be a short sentence; None stands for one."""
    try:
        return DECODERS[name](body, flavour)
    except PayloadError as error:
        assert_sentence(str(error))
        return None


def assert_sentence(text: str) -> None:
    """Assert that a text fits a row and a terminal, whatever the appliance sent."""
    assert text.isprintable()
    assert text.endswith(".")
    assert len(text) < 700


def assert_valid(job: Job) -> None:
    """Assert that a job fits its columns."""
    assert job.progress is None or (0 <= job.progress <= 100 and math.isfinite(job.progress))
    assert job.size is None or 0 <= job.size < 2**63
    for time in (job.start_time, job.end_time):
        assert time is None or time.tzinfo is UTC


def assert_kept(table: Table, frame: pd.DataFrame) -> None:
    """Assert that a frame keeps its contract, and survives Arrow unchanged."""
    table.check(frame)
    assert_frame_equal(table.from_arrow(table.to_arrow(frame)), frame)


@pytest.mark.property
@pytest.mark.parametrize("flavour", Flavour)
class TestDecode:
    """Each decode function, fed with anything."""

    @pytest.mark.parametrize("decoder", DECODERS)
    @settings(max_examples=repeats(80, 800))
    @given(body=ANYTHING)
    def test_any_body(self, flavour: Flavour, decoder: str, body: bytes) -> None:
        """Any answer is a value of the promised kind, or a PayloadError of one sentence."""
        value = decoded(decoder, body, flavour)
        match decoder:
            case _ if value is None:
                pass
            case "ids":
                assert all(type(one) is str for one in value)
                assert len(set(value)) == len(value)
            case "job":
                assert_valid(value)
            case "details":
                jobs, decode_errors = value
                ids = [job.job_id for job in jobs]
                assert len(set(ids)) == len(ids)
                assert not set(ids) & set(decode_errors)
                for job in jobs:
                    assert_valid(job)
                for why in decode_errors.values():
                    assert_sentence(why.text)
            case "schedules":
                plans, decode_errors = value
                assert all(isinstance(plan, Schedule) for plan in plans.values())
                for why in decode_errors.values():
                    assert_sentence(why.text)
            case _:
                assert type(value) is str

    @settings(max_examples=repeats(220, 2_200))
    @given(body=near_misses())
    def test_near_misses(self, flavour: Flavour, body: bytes) -> None:
        """An answer that is nearly right is taken or refused by all decoders alike."""
        for decoder in DECODERS:
            decoded(decoder, body, flavour)
        assert isinstance(decode_error(body), ErrorAnswer | None)

    @settings(max_examples=repeats(80, 800))
    @given(records=st.dictionaries(st.text(max_size=5), DOCUMENTS, max_size=4))
    def test_no_record_is_lost(self, flavour: Flavour, records: dict[str, object]) -> None:
        """Every record of an answer is a job or is named as spoilt, whatever it holds."""
        if flavour is Flavour.API:
            body = json.dumps(records)
        else:
            pairs = [{"key": key, "value": value} for key, value in records.items()]
            body = json.dumps({"value": pairs})
        jobs, decode_errors = decode_details(body.encode(), flavour)
        assert {*(job.job_id for job in jobs), *decode_errors} == set(records)
        schedules, decode_errors = decode_schedules(body.encode(), flavour)
        assert {*schedules, *decode_errors} == set(records)


REQUESTS = {
    flavour: (
        protocol.log_in(flavour),
        protocol.log_out(flavour),
        protocol.list_jobs(flavour),
        protocol.get_job(flavour, "a\n/b"),
        protocol.get_details(flavour, [JOB]),
    )
    for flavour in Flavour
}
HEADERS = st.dictionaries(
    st.sampled_from(("Retry-After", "Date", "Location")),
    st.text(max_size=12)
    | st.sampled_from(("7", "0", "9" * 400, "-1", "1e9", "Mon, 09 Nov 2026 12:07:00 GMT"))
    | st.integers(-(2**70), 2**70).map(str),
)


@pytest.mark.property
@pytest.mark.parametrize("flavour", Flavour)
class TestStatus:
    """Statuses, with any headers and any body."""

    @settings(max_examples=repeats(160, 1_600))
    @given(
        status=st.integers(100, 999) | st.sampled_from((401, 403, 404, 429, 500, 502, 503)),
        headers=HEADERS,
        body=ANYTHING,
        data=st.data(),
    )
    def test_any_status(
        self,
        flavour: Flavour,
        status: int,
        headers: dict[str, str],
        body: bytes,
        data: st.DataObject,
    ) -> None:
        """Any status but a success is an ApplianceError, in a sentence that tells the status."""
        request = data.draw(st.sampled_from(REQUESTS[flavour]))
        if 200 <= status < 300:
            protocol.raise_for_status(request, status, headers, body)
            return
        with pytest.raises(ApplianceError) as caught:
            protocol.raise_for_status(request, status, headers, body)
        assert caught.value.status_code == status
        assert f"({status})" in str(caught.value)
        assert_sentence(str(caught.value))
        after = caught.value.retry_after
        assert after is None or after >= 0


@pytest.mark.property
@settings(max_examples=repeats(100, 1_000))
@given(
    st.text(max_size=40)
    | st.sampled_from(("Mon", "9", "31 Feb 2026", "1 1 1 1:1:1 +9999", "0 Nov 99999 1:1:1"))
    | st.from_regex(r"[A-Z][a-z]{2}, [0-9]{1,4} Nov [0-9]{1,5} [0-9:]{1,9} [-+A-Z0-9]{1,7}")
)
def test_any_date(date: str) -> None:
    """Any Date header is a skew, or none."""
    skew = protocol.clock_skew(date, sent=NOW, received=NOW)
    assert skew is None or isinstance(skew, timedelta)


def as_snapshot(body: bytes, flavour: Flavour, text: str) -> Snapshot:
    """Put whatever one body can be taken for into one visit, as a round does."""
    found = PollResult("vc-1", NOW, flavour=flavour)
    for name, decode in DECODERS.items():
        try:
            value: Any = decode(body, flavour)
        except BackupkitError as error:
            found.item_errors.append((error, text))
            continue
        match name:
            case "job":
                found.jobs.append(value)
            case "details":
                found.jobs += value[0]
                found.item_errors += [(why, job_id) for job_id, why in value[1].items()]
            case "schedules":
                found.schedules, _ = value
            case "ids":
                found.vanished, found.jobs_listed = value, len(value)
            case _:
                found.version = found.timezone = value
    return snapshot_of([found])


@pytest.mark.property
@pytest.mark.parametrize("flavour", Flavour)
class TestFrames:
    """From any answer on to frames, to Arrow, and back."""

    @settings(max_examples=repeats(15, 120))
    @given(body=ANYTHING, text=st.text(max_size=5))
    def test_any_body(self, flavour: Flavour, body: bytes, text: str) -> None:
        """Whatever is taken from an answer makes valid frames that can be stored."""
        snapshot = as_snapshot(body, flavour, text)
        assert_kept(OBSERVATIONS, snapshot.observations)
        assert_kept(SCHEDULES, snapshot.schedules)
        assert_kept(POLLS, snapshot.polls)
        assert_kept(ERRORS, snapshot.errors)
        assert_kept(JOBS, snapshot.jobs)
        assert "vc-1" in snapshot.sync_state()

    def test_every_sample(self, flavour: Flavour) -> None:
        """So do the good answers, each of which is taken for something."""
        for body in SAMPLES.values():
            snapshot = as_snapshot(body, flavour, "a text")
            assert_kept(OBSERVATIONS, snapshot.observations)
            assert_kept(POLLS, snapshot.polls)

    @settings(max_examples=repeats(15, 120))
    @given(bodies=st.lists(near_misses(), min_size=2, max_size=6))
    def test_many_jobs(self, flavour: Flavour, bodies: list[bytes]) -> None:
        """Jobs of many answers that were nearly right fit into one frame, in their order."""
        jobs = [
            job
            for body in bodies
            for value in (decoded("details", body, flavour), decoded("job", body, flavour))
            if value is not None
            for job in (value[0] if isinstance(value, tuple) else [value])
        ]
        count = len(jobs)
        frame = observations_of(jobs, appliances=["vc-1"] * count, observed_at=[NOW] * count)
        assert frame["job_id"].to_list() == [job.job_id for job in jobs]
        assert_kept(OBSERVATIONS, frame)
        for column in ("start_time", "end_time"):
            times = [getattr(job, column) for job in jobs]
            assert [None if pd.isna(one) else one for one in frame[column]] == times
