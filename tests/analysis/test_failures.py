"""Error patterns."""

import re
import time

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backupkit.analysis import failure_signatures, failures, message_of, signature_of
from backupkit.analysis.failures import NO_MESSAGE
from tests.builders import jobs_of, message, moment


class TestSignatureOf:
    """`signature_of`."""

    @pytest.mark.parametrize(
        ("text", "signature"),
        [
            (
                "Db health is UNHEALTHY, Backup Failed.Disable health check to take backup.",
                "Db health is UNHEALTHY, Backup Failed.Disable health check to take backup.",
            ),
            ("Error during component wcp backup", "Error during component wcp backup"),
            ("Failed after 12.5 s, 3 of 4 parts", "Failed after <n> s, <n> of <n> parts"),
            ("No space left: /storage/db/vpostgres_1/x.gz", "No space left: <path>"),
            ("cannot open /a/b. Aborted.", "cannot open <path>. Aborted."),
            (r"no file C:\backup\vc-1\x.log here", "no file <path> here"),
            (r"no share \\nas\backup", "no share <path>"),
            ("put sftp://me@nas.example.com:22/vc failed", "put <uri> failed"),
            ("ftps://[fe80::1]/x", "<uri>"),
            ("Host nas-01.lab.example.com:443 is down", "Host <host> is down"),
            ("Host 10.0.0.17:22 is down, not 10.0.0.18", "Host <host> is down, not <host>"),
            ("Host 2001:db8:0:0:0:0:0:1 is down", "Host <host> is down"),
            ("mail root@vc.example.com", "mail <user>"),
            ("task 0dc1a6c5-0a45-4a3f-9b59-3e3b8d2d0e7f", "task <id>"),
            ("session deadbeef01 ended, not deadbeef", "session <id> ended, not deadbeef"),
            ("code 0x80070005", "code <id>"),
            ("job 20261105-010000-12345678 failed", "job <id> failed"),
            ("at 2026-11-05T01:00:03.123Z it failed", "at <time> it failed"),
            ("component 'vum' failed, \"wcp\" too", "component '<name>' failed, \"<name>\" too"),
            ("couldn't start, isn't there", "couldn't start, isn't there"),
            ("java.lang.NullPointerException: null", "java.lang.NullPointerException: null"),
            ("sha256 of vcdb1 differs", "sha256 of vcdb1 differs"),
            ("two\n  lines\t\x1b[31mred\x00", "two lines [<n>mred"),
            ("", NO_MESSAGE),
            (" \n ", NO_MESSAGE),
        ],
    )
    def test_words(self, text: str, signature: str) -> None:
        """Numbers, names and addresses become placeholders; words stay."""
        assert signature_of(text) == signature

    @pytest.mark.parametrize(
        ("text", "args", "signature"),
        [
            ("Component wcp failed", ["wcp"], "Component <arg> failed"),
            ("wcp: wcp-wcp failed, not wcpx", ["wcp"], "<arg>: <arg>-<arg> failed, not wcpx"),
            ("Copy to 3\\A failed", ["3\\A"], "Copy to <arg> failed"),
            ("Copy to /a/b failed", ["/a/b"], "Copy to <path> failed"),
            ("Copy to nas failed", [" nas ", "", "n"], "Copy to <arg> failed"),
            ("nas and nas two", ["nas", "nas two"], "<arg> and <arg>"),
            ("All of it is an argument", ["All of it is an argument"], "All of it is an argument"),
        ],
    )
    def test_args(self, text: str, args: list[str], signature: str) -> None:
        """Arguments become a placeholder, except one that is the complete sentence."""
        assert signature_of(text, args) == signature

    def test_bounded(self) -> None:
        """A text of 1 MB takes little time and has a short signature."""
        begin = time.process_time()
        for piece in ("a", "/", "1.", "a.", "'", "a:", "\\\\", "a@", "0-", "http:/", "x'y "):
            assert len(signature_of(piece * (1_000_000 // len(piece)), [piece * 50])) <= 300
        assert time.process_time() - begin < 3

    @pytest.mark.property
    @given(text=st.text(max_size=200), args=st.lists(st.text(max_size=20), max_size=3))
    def test_any_text(self, text: str, args: list[str]) -> None:
        """Any text has one printable line as its signature."""
        signature = signature_of(text, args)
        assert signature
        assert not re.search(r"[\x00-\x1f\x7f]", signature)
        assert signature == signature_of(text, list(reversed(args)))

    @pytest.mark.property
    @given(first=st.integers(0, 10**9), second=st.integers(0, 10**9))
    def test_numbers_do_not_matter(self, first: int, second: int) -> None:
        """Two messages that differ in a number have the same signature."""
        assert signature_of(f"Error {first} on disk") == signature_of(f"Error {second} on disk")


class TestMessageOf:
    """`message_of`."""

    @pytest.mark.parametrize("nothing", [None, pd.NA, [], [message("", "")]])
    def test_none(self, nothing: object) -> None:
        """No message, or only empty ones, is None."""
        assert message_of(nothing) is None

    def test_choice(self) -> None:
        """The first message about a failure is chosen, otherwise the first."""
        first, second = (
            message("Backup started", "1"),
            message("Copy failed", "2"),
        )
        assert message_of([first, second]) == second
        assert message_of([first, message("Copied", "3")]) == first


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


def test_known_causes() -> None:
    """A known text has its cause and source; an unknown one has neither."""
    texts = ["Db health is UNHEALTHY, Backup Failed.", "Something nobody has seen"]
    rows = [("a", "failure", "02T01:00", "02T01:05"), ("b", "failure", "03T01:00", "03T01:05")]
    jobs = jobs_of(rows, messages=[[message(text)] for text in texts])
    signatures = failure_signatures(jobs)
    got = failures(jobs, signatures, start=moment("02T00:00"), end=moment("07T00:00")).set_index(
        "text"
    )
    assert got["source"].str.startswith("VMware KB 86084")[texts[0]]
    assert got.loc[texts[0], ["cause", "next_step"]].notna().all()
    assert got.loc[texts[1], ["cause", "next_step", "source"]].isna().all()
