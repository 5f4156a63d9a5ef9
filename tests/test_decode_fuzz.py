"""Random JSON and bytes as responses: a typed error, or values that fit the frames."""

import json
import math
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pandas.testing import assert_frame_equal

from backupkit import protocol
from backupkit.collection.poll_result import PollResult
from backupkit.collection.snapshot import Snapshot, build_snapshot, jobs_to_observations
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
    decode_nodes,
    decode_schedules,
    decode_text,
    decode_version,
)
from tests.conftest import repeats
from tests.json_strategies import BODIES, DOCUMENTS, JOB, KEYS, SAMPLES, mutations, near_misses

NOW = datetime(2026, 11, 9, 6, 0, tzinfo=UTC)

DECODERS: dict[str, Callable[[bytes, Flavour], object]] = {
    "text": lambda body, flavour: decode_text(body, flavour, "it"),
    "ids": decode_job_ids,
    "job": lambda body, flavour: decode_job(body, flavour, JOB),
    "details": decode_details,
    "schedules": decode_schedules,
    "nodes": decode_nodes,
    "version": decode_version,
}


def decoded(name: str, body: bytes, flavour: Flavour) -> Any:  # noqa: ANN401 # the decoder knows
    """Decode a body; return None for an error, after a check of its text."""
    try:
        return DECODERS[name](body, flavour)
    except PayloadError as error:
        assert_sentence(str(error))
        return None


def assert_sentence(text: str) -> None:
    """Check that a text is one short printable sentence."""
    assert text.isprintable()
    assert text.endswith(".")
    assert len(text) < 700


def assert_valid(job: Job) -> None:
    """Check that a job fits its columns."""
    assert job.progress is None or (0 <= job.progress <= 100 and math.isfinite(job.progress))
    assert job.size is None or 0 <= job.size < 2**63
    for time in (job.start_time, job.end_time):
        assert time is None or time.tzinfo is UTC


def assert_valid_frame(table: Table, frame: pd.DataFrame) -> None:
    """Check that a frame follows its contract, also after Arrow."""
    table.check(frame)
    assert_frame_equal(table.from_arrow(table.to_arrow(frame)), frame)


@pytest.mark.property
@pytest.mark.parametrize("flavour", Flavour)
class TestDecode:
    """The decode functions."""

    @pytest.mark.parametrize("decoder", DECODERS)
    @settings(max_examples=repeats(80, 800))
    @given(body=BODIES)
    def test_any_body(self, flavour: Flavour, decoder: str, body: bytes) -> None:
        """Each body is decoded to a valid value, or is a PayloadError of one sentence."""
        value = decoded(decoder, body, flavour)
        match decoder:
            case _ if value is None:
                pass
            case "ids":
                ids, decode_errors = value
                assert all(type(job_id) is str and job_id for job_id in ids)
                assert len(set(ids)) == len(ids)
                assert all(key.startswith("item ") for key in decode_errors)
            case "job":
                assert_valid(value)
            case "details":
                jobs, decode_errors = value
                ids = [job.job_id for job in jobs]
                assert len(set(ids)) == len(ids)
                assert decode_errors.keys() <= {"", *ids}
                for job in jobs:
                    assert_valid(job)
                for error in decode_errors.values():
                    assert_sentence(error.text)
            case "nodes":
                nodes, decode_errors = value
                assert len({node.node.casefold() for node in nodes}) == len(nodes)
                assert all(node.node.isprintable() and node.type.isprintable() for node in nodes)
                assert all(key.startswith("item ") for key in decode_errors)
            case "schedules":
                schedules, decode_errors = value
                assert all(isinstance(item, Schedule) for item in schedules.values())
                for error in decode_errors.values():
                    assert_sentence(error.text)
            case _:
                assert type(value) is str

    @settings(max_examples=repeats(220, 2_200))
    @given(body=near_misses())
    def test_near_misses(self, flavour: Flavour, body: bytes) -> None:
        """A nearly valid body is decoded or refused by each decoder."""
        for decoder in DECODERS:
            decoded(decoder, body, flavour)
        assert isinstance(decode_error(body), ErrorAnswer | None)

    @settings(max_examples=repeats(80, 800))
    @given(records=st.dictionaries(KEYS, DOCUMENTS, max_size=4))
    def test_no_record_is_lost(self, flavour: Flavour, records: dict[str, object]) -> None:
        """Each record of a response is a result, however odd it is."""
        if flavour is Flavour.API:
            body = json.dumps(records)
        else:
            pairs = [{"key": key, "value": value} for key, value in records.items()]
            body = json.dumps({"value": pairs})
        jobs, decode_errors = decode_details(body.encode(), flavour)
        assert {job.job_id for job in jobs} == set(records)
        assert not decode_errors
        for job in jobs:
            assert_valid(job)
            assert job.read_error is not None or job.state is not None
        schedules, decode_errors = decode_schedules(body.encode(), flavour)
        assert set(schedules) == set(records)
        assert not decode_errors


ANSWERS = {
    (flavour, kind): json.loads(SAMPLES[f"{flavour}_{kind}_200"])
    for flavour in Flavour
    for kind in ("job_details", "job_get_failed", "job_list")
}


@pytest.mark.property
@pytest.mark.parametrize("flavour", Flavour)
class TestMutations:
    """Valid answers with some nodes changed."""

    @settings(max_examples=repeats(150, 3_000))
    @given(data=st.data())
    def test_other_records(self, flavour: Flavour, data: st.DataObject) -> None:
        """A change of one record of the details affects no other record."""
        answer = ANSWERS[flavour, "job_details"]
        mutated = data.draw(mutations(answer))
        value = decoded("details", mutated.body, flavour)
        jobs, repeated = value or ([], {})
        found = {job.job_id: job for job in jobs}
        whole, _ = decode_details(json.dumps(answer).encode(), flavour)
        inside = () if flavour is Flavour.API else ("value",)
        for job in whole:
            if not mutated.touches(*inside, job.job_id) and job.job_id not in repeated:
                assert found[job.job_id] == job

    @settings(max_examples=repeats(150, 3_000))
    @given(data=st.data())
    def test_side_fields(self, flavour: Flavour, data: st.DataObject) -> None:
        """State and times of a job are kept, whatever happens to its other fields."""
        answer = ANSWERS[flavour, "job_get_failed"]
        mutated = data.draw(mutations(answer))
        inside = () if flavour is Flavour.API else ("value",)
        needed = ("id", "state", "start_time", "end_time")
        if any(mutated.touches(*inside, name) for name in needed):
            decoded("job", mutated.body, flavour)
            return
        [record] = [answer] if flavour is Flavour.API else answer.values()
        job = decode_job(mutated.body, flavour, record["id"])
        assert (job.state, job.read_error) == ("FAILED", None)
        assert job.start_time is not None
        assert job.end_time is not None
        assert_valid(job)

    @settings(max_examples=repeats(100, 2_000))
    @given(data=st.data())
    def test_ids(self, flavour: Flavour, data: st.DataObject) -> None:
        """An id of the list is kept, whatever happens to other items."""
        answer = ANSWERS[flavour, "job_list"]
        mutated = data.draw(mutations(answer, most=1))
        ids = answer if flavour is Flavour.API else answer["value"]
        inside = () if flavour is Flavour.API else ("value",)
        value = decoded("ids", mutated.body, flavour)
        for index, job_id in enumerate(ids):
            if not mutated.touches(*inside, index):
                assert job_id in value[0]


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
    """Error statuses, with random headers and bodies."""

    @settings(max_examples=repeats(160, 1_600))
    @given(
        status=st.integers(100, 999) | st.sampled_from((401, 403, 404, 429, 500, 502, 503)),
        headers=HEADERS,
        body=BODIES,
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
        """Each status but a success is an ApplianceError with the status in its sentence."""
        request = data.draw(st.sampled_from(REQUESTS[flavour]))
        if 200 <= status < 300:
            protocol.raise_for_status(request, status, headers, body)
            return
        with pytest.raises(ApplianceError) as caught:
            protocol.raise_for_status(request, status, headers, body)
        assert caught.value.status_code == status
        assert re.search(rf"\({status}[,)]", str(caught.value))
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
    """Each Date header is a clock skew, or None."""
    skew = protocol.clock_skew(date, sent=NOW, received=NOW)
    assert skew is None or isinstance(skew, timedelta)


def as_snapshot(body: bytes, flavour: Flavour, text: str) -> Snapshot:
    """Build the snapshot of a poll with the results of all decoders of a body."""
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
                found.item_errors += [(error, job_id) for job_id, error in value[1].items()]
            case "schedules":
                found.schedules, _ = value
            case "ids":
                found.vanished, found.jobs_listed = value[0], len(value[0])
            case _:
                found.version = found.timezone = value
    return build_snapshot([found])


@pytest.mark.property
@pytest.mark.parametrize("flavour", Flavour)
class TestFrames:
    """From responses to frames, to Arrow, and back."""

    @settings(max_examples=repeats(15, 120))
    @given(body=BODIES, text=st.text(max_size=5))
    def test_any_body(self, flavour: Flavour, body: bytes, text: str) -> None:
        """Each body results in valid frames."""
        snapshot = as_snapshot(body, flavour, text)
        for table in (OBSERVATIONS, SCHEDULES, POLLS, ERRORS, JOBS):
            assert_valid_frame(table, getattr(snapshot, table.name))
        assert "vc-1" in snapshot.sync_state()

    def test_every_sample(self, flavour: Flavour) -> None:
        """Each sample results in valid frames."""
        for body in SAMPLES.values():
            snapshot = as_snapshot(body, flavour, "a text")
            assert_valid_frame(OBSERVATIONS, snapshot.observations)
            assert_valid_frame(POLLS, snapshot.polls)

    @settings(max_examples=repeats(15, 120))
    @given(bodies=st.lists(near_misses(), min_size=2, max_size=6))
    def test_many_jobs(self, flavour: Flavour, bodies: list[bytes]) -> None:
        """Jobs of nearly valid responses are one valid frame, in their order."""
        jobs = [
            job
            for body in bodies
            for value in (decoded("details", body, flavour), decoded("job", body, flavour))
            if value is not None
            for job in (value[0] if isinstance(value, tuple) else [value])
        ]
        count = len(jobs)
        names, times = ["vc-1"] * count, [NOW] * count
        frame = jobs_to_observations(jobs, appliances=names, observed_at=times).frame()
        assert frame["job_id"].to_list() == [job.job_id for job in jobs]
        assert_valid_frame(OBSERVATIONS, frame)
        for column in ("start_time", "end_time"):
            times = [getattr(job, column) for job in jobs]
            assert [None if pd.isna(time) else time for time in frame[column]] == times
