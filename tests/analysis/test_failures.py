"""Failed jobs grouped by their messages."""

from typing import Any

import pandas as pd
import pytest

from backupkit.analysis import Catalogue, Cause, failure_counts, failure_signatures, failures
from backupkit.analysis.failures import DIFFERENT_CAUSES, NO_ADVICE, NO_MESSAGE
from tests.builders import jobs_of, message, moment

PERIOD = {"start": moment("02T00:00"), "end": moment("07T00:00")}


class TestFailures:
    """`failures`."""

    @pytest.fixture
    def jobs(self) -> pd.DataFrame:
        """Return four failures of two kinds on two appliances, one without message; one success."""
        full, broken = "Disk full: 12 bytes left", "Copy to nas failed"
        messages = [
            [message(full, "full")],
            [message("Disk full: 99 bytes left", "full", localized="Platte voll: 99")],
            [message(full, "other")],
            [message(broken, "copy", args=("nas",))],
            None,
            [message("Backup was fine")],
        ]
        return jobs_of(
            [
                ("a", "failure", "02T01:00", "02T02:00"),
                ("b", "failure", "03T01:00", "03T02:00"),
                ("b", "failure", "04T01:00", "04T02:00"),
                ("a", "failure", "05T01:00", "05T02:00"),
                ("a", "failure", "06T01:00", "06T02:00"),
                ("a", "success", "06T03:00", "06T04:00"),
            ],
            messages=messages,
            build=["1", "2", "2", "1", None, None],
            location=[
                "sftp://me:secret@nas.example.com/vc",
                "ftp://nas.example.com",
                None,
                "//[broken",
                "nonsense",
                None,
            ],
        )

    def test_groups(self, jobs: pd.DataFrame) -> None:
        """A row has counts, shares, the newest text, and lists with the most affected first."""
        signatures = failure_signatures(jobs)
        got = failures(jobs, signatures, start=moment("02T00:00"), end=moment("07T00:00"))
        full, silent, copy = got.to_dict("records")
        assert (full["signature"], full["jobs"], full["appliances"]) == (
            "Disk full: <n> bytes left",
            3,
            2,
        )
        assert full["share"] == pytest.approx(0.6)
        assert pd.isna(full["message_id"])
        assert full["text"] == "Disk full: 12 bytes left"
        assert (full["names"], full["builds"]) == (["b", "a"], ["2", "1"])
        assert full["targets"] == ["ftp://nas.example.com", "sftp://nas.example.com"]
        assert (full["first_seen"], full["last_seen"]) == (moment("02T02:00"), moment("04T02:00"))
        assert (silent["signature"], silent["jobs"]) == (NO_MESSAGE, 1)
        assert (copy["signature"], copy["message_id"]) == ("Copy to <arg> failed", "copy")
        assert pd.isna(copy["targets"])
        assert pd.isna(full["chain"])

    def test_only_the_period(self, jobs: pd.DataFrame) -> None:
        """Only failures that ended in the period count."""
        signatures = failure_signatures(jobs)
        got = failures(jobs, signatures, start=moment("06T00:00"), end=moment("07T00:00"))
        assert got["signature"].to_list() == [NO_MESSAGE]
        assert failures(jobs, signatures, start=moment("07T00:00"), end=moment("08T00:00")).empty

    def test_words_as_shown(self, jobs: pd.DataFrame) -> None:
        """The text is the translated one; successes have neither text nor signature."""
        signatures = failure_signatures(jobs)
        assert signatures["text"].to_list()[1] == "Platte voll: 99"
        assert signatures["signature"].nunique() == 3
        assert signatures.iloc[5].isna().all()


class TestCauses:
    """The causes and the advice of `failures`."""

    @staticmethod
    def group(*jobs: list[str], own: Catalogue | None = None) -> list[dict[Any, Any]]:
        """Return the groups of failed jobs with these messages."""
        frame = jobs_of(
            [("a", "failure", "02T01:00", f"02T01:{place:02}") for place in range(len(jobs))],
            messages=[[message(text) for text in texts] for texts in jobs],
        )
        catalogue = own or Catalogue([])
        signatures = failure_signatures(frame, catalogue)
        return failures(frame, signatures, catalogue, **PERIOD).to_dict("records")

    def test_known(self) -> None:
        """A known text has its cause, next step and source."""
        (group,) = self.group(["Db health is UNHEALTHY, Backup Failed."])
        assert group["cause_name"] == "database-health"
        assert str(group["cause"]).startswith("The health check of its database")
        assert group["source"] == "VMware KB 86084"

    @pytest.mark.parametrize("texts", [["Something nobody has seen"], []])
    def test_not_known(self, texts: list[str]) -> None:
        """Without a known cause the advice says so, and names the log."""
        (group,) = self.group(texts)
        assert pd.isna([group["cause_name"], group["cause"], group["source"]]).all()
        assert group["next_step"] == NO_ADVICE
        assert "backup.log" in NO_ADVICE

    def test_chain(self) -> None:
        """The specific message is the signature; the chain has all, the most general first."""
        (group,) = self.group(["No space left on device", "Backup\njob failed."])
        assert group["signature"] == group["text"] == "No space left on device"
        assert group["cause_name"] == "no-space"
        assert group["chain"] == ["Backup job failed.", "No space left on device"]

    def test_general_cause(self) -> None:
        """A message without a known cause has that of the place where it happened."""
        (group,) = self.group(["Error during component wcp backup", "Token was rejected"])
        assert (group["signature"], group["cause_name"]) == ("Token was rejected", "component-wcp")

    def test_message_without_reason(self) -> None:
        """A message that tells only that it failed is no cause of a more specific one."""
        (group,) = self.group(["BackupManager encountered an exception", "Token was rejected"])
        assert group["signature"] == "Token was rejected"
        assert pd.isna(group["cause_name"])

    def test_different_causes(self) -> None:
        """Jobs of one signature with different causes have the advice of none."""
        wcp, vtsdb = (f"Error during component {name} backup" for name in ("wcp", "vtsdb"))
        rejected = "Token was rejected"
        (group,) = self.group([wcp, rejected], [vtsdb, rejected], [rejected], [vtsdb, rejected])
        assert pd.isna([group["cause_name"], group["source"]]).all()
        assert group["cause"] == (
            "Different causes, by number of jobs: component (2), not known (1), component-wcp (1)."
        )
        assert group["next_step"] == DIFFERENT_CAUSES

    def test_own_causes(self) -> None:
        """An own cause is preferred, whichever message of the job it is about."""
        values: Any = {"cause": "It.", "next_step": "Ask Kim.", "source": "wiki"}
        own = Catalogue([Cause(name="ours", texts=("Copied to nas-7",), **values)])
        texts = ["Copied to nas-7", "No space left on device"]
        (group,) = self.group(texts, own=own)
        assert (group["cause_name"], group["next_step"]) == ("ours", "Ask Kim.")
        assert group["signature"] == "No space left on device"
        (group,) = self.group(texts[1:], own=own)
        assert group["cause_name"] == "no-space"


def test_counts() -> None:
    """Failures are counted by appliance, day, hour, build and target."""
    jobs = jobs_of(
        [
            ("a", "failure", "02T01:00", "02T02:59"),
            ("a", "failure", "02T01:00", "02T02:00"),
            ("a", "failure", "02T01:00", "02T02:00"),
            ("b", "failure", "02T01:00", "03T00:00"),
        ],
        messages=[[message("x")]] * 4,
        build=["1", "1", "2", None],
        location=["sftp://nas.example.com/vc", "sftp://nas.example.com/other", None, None],
    )
    counts = failure_counts(jobs, failure_signatures(jobs), **PERIOD)
    assert counts.fillna("-").to_numpy().tolist() == [
        ["x", "a", moment("02T00:00"), 2, "1", "sftp://nas.example.com", 2],
        ["x", "a", moment("02T00:00"), 2, "2", "-", 1],
        ["x", "b", moment("03T00:00"), 0, "-", "-", 1],
    ]
