"""Texts of real failures from public sources (docs/failure-texts.toml)."""

import tomllib
from pathlib import Path
from typing import Any

import pytest

from backupkit.analysis import failure_signatures, failures
from backupkit.analysis.failures import NO_ADVICE
from backupkit.causes import known_causes
from tests.builders import jobs_of, message, moment

TEXTS = tomllib.loads(
    (Path(__file__).parents[2] / "docs" / "failure-texts.toml").read_text(encoding="utf-8")
)["text"]


@pytest.mark.parametrize("text", TEXTS, ids=lambda text: text["source"])
def test_cause(text: dict[str, Any]) -> None:
    """A published failure has the cause of the table, and a next step or the log that has it."""
    jobs = jobs_of(
        [("a", "failure", "02T01:00", "02T01:05")],
        messages=[[message(one, "") for one in text["messages"]]],
    )
    signatures = failure_signatures(jobs)
    period = {"start": moment("02T00:00"), "end": moment("03T00:00")}
    (group,) = failures(jobs, signatures, **period).fillna("").to_dict("records")
    assert group["cause_name"] == text["cause"]
    name = text["cause"]
    assert group["next_step"] == (known_causes()[name].next_step if name else NO_ADVICE)


def test_number() -> None:
    """There are more than ten texts, most of them from appliances, and ten that came later."""
    kinds = [text["kind"] for text in TEXTS]
    assert kinds.count("appliance") + kinds.count("tool") > 10
    assert kinds.count("later") == 10
    assert {*kinds} == {"appliance", "tool", "later"}
