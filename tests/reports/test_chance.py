"""Sentences about what failing appliances share."""

from collections.abc import Mapping
from typing import Any

from backupkit.reports.chance import describe_shared_values
from backupkit.tables import CLUSTER_TESTS, CLUSTERS


def sentences(findings: int, *tests: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the sentences for a number of findings, and for these tests."""
    texts = [f"finding <{number}>" for number in range(findings)]
    clusters = CLUSTERS.frame({"signature": ["x"] * findings, "finding": texts})
    rows = {name: [test.get(name) for test in tests] for name in CLUSTER_TESTS.names}
    return describe_shared_values(clusters, CLUSTER_TESTS.frame(rows))


ASKED = {"signature": "x", "property": "target", "affected": 4, "compared": 20, "asked": 3}
UNCLEAR = {
    "signature": "y",
    "property": "target",
    "affected": 3,
    "compared": 3,
    "value_count": 3,
    "asked": 0,
}


class TestDescribeSharedValues:
    """Findings, questions and limits."""

    def test_nothing(self) -> None:
        """Without a failure of two appliances there is nothing to say."""
        assert sentences(0) == ()

    def test_findings(self) -> None:
        """A finding stands with the meaning of its p and q."""
        finding, meaning = sentences(1, ASKED)
        assert finding == "“x”: finding <0>."
        assert meaning.startswith("3 questions asked: ")
        assert "up to 0.05, at most 1 in 20 is expected to be an accident" in meaning

    def test_many_findings(self) -> None:
        """The first five are listed, the others are counted."""
        texts = sentences(7, ASKED)
        assert texts[4:6] == ("“x”: finding <4>.", "2 further findings in the data.")

    def test_no_finding(self) -> None:
        """The number of questions is stated where nothing was found."""
        (text,) = sentences(0, ASKED)
        assert text.startswith("No target, build, site or group is shared more often than chance")
        assert text.endswith("(3 questions asked).")

    def test_no_test_can_tell(self) -> None:
        """An error pattern without any question is named, and no other is."""
        (text,) = sentences(0, UNCLEAR, UNCLEAR | {"property": "site"})
        assert text.startswith("For 1 error pattern no test can tell ")
        assert text.endswith("Example: “y”, 3 of 3 appliances on 3 targets.")
        told = sentences(
            0, UNCLEAR | {"value_count": 1}, UNCLEAR | {"property": "site", "asked": 1}
        )
        assert len(told) == 1
        assert "no test" not in told[0]

    def test_one_value(self) -> None:
        """One value is in the singular."""
        (text,) = sentences(0, UNCLEAR | {"value_count": 1})
        assert text.endswith("on 1 target.")
