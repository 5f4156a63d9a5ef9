"""The fields of a fault, and its spelling on the command line."""

import pytest

from backupkit.simulator import KINDS, ROUTES, Fault
from backupkit.simulator.faults.fault import describe_kinds
from backupkit.simulator.faults.replies import REPLY_FUNCTIONS


class TestKinds:
    """The table of kinds."""

    def test_every_kind_answers(self) -> None:
        """Exactly the kinds of the table are implemented."""
        assert set(KINDS) == set(REPLY_FUNCTIONS)

    def test_sentences(self) -> None:
        """Each kind has its own sentence, and its routes exist."""
        sentences = [kind.about for kind in KINDS.values()]
        assert len(set(sentences)) == len(sentences)
        assert all(sentence.endswith(".") for sentence in sentences)
        assert all(set(kind.routes) <= set(ROUTES) for kind in KINDS.values())
        assert len(describe_kinds().splitlines()) == len(KINDS)


class TestFault:
    """`Fault`."""

    @pytest.mark.parametrize(
        ("kind", "route", "routes"),
        [
            ("reset", "*", ROUTES),
            ("reset", "data", ROUTES[2:]),
            ("reset", "log-*", ("log-in", "log-out")),
            ("unauthenticated", "*", ROUTES[1:]),
            ("session_limit", "*", ("log-in",)),
            ("undetailed", "data", ("details",)),
        ],
    )
    def test_routes(self, kind: str, route: str, routes: tuple[str, ...]) -> None:
        """A pattern selects those routes that the kind can affect."""
        assert Fault(kind, route=route).routes == routes

    @pytest.mark.parametrize(
        ("fields", "words"),
        [
            ({"kind": "fire"}, "No fault 'fire'; there are reset, "),
            ({"rate": 1.1}, "The rate of 'slow' must lie between 0 and 1: 1.1"),
            ({"rate": -0.1}, "between 0 and 1"),
            ({"rate": float("nan")}, "between 0 and 1"),
            ({"route": "jobs"}, "No route 'jobs'; there are log-in, "),
            ({"kind": "gone", "route": "log-in"}, "'gone' cannot apply to 'log-in', only job"),
            ({"times": -1}, "times of 'slow' must be 0 or more: -1"),
            ({"wait": float("nan")}, "wait of 'slow'"),
            ({"size": -1}, "size of 'slow'"),
            ({"jobs": -1}, "jobs of 'slow'"),
        ],
    )
    def test_refused(self, fields: dict[str, object], words: str) -> None:
        """An unknown or wrong value is an error that names it."""
        with pytest.raises(ValueError, match=words):
            Fault(**{"kind": "slow", **fields})  # type: ignore[arg-type]  # wrong on purpose


class TestParse:
    """`Fault.parse`."""

    @pytest.mark.parametrize(
        ("text", "fault"),
        [
            ("reset=0.05", Fault("reset", 0.05, "*", "data")),
            ("reset=1@vc-0001", Fault("reset", 1, "vc-0001", "data")),
            ("session_limit=1@vc-0001", Fault("session_limit", 1, "vc-0001")),
            ("unavailable=0.2@vc-00*:job", Fault("unavailable", 0.2, "vc-00*", "job")),
            ("drip=1@*:log-*", Fault("drip", 1, "*", "log-*")),
        ],
    )
    def test_spellings(self, text: str, fault: Fault) -> None:
        """Without a route log-in and log-out are left out, if the kind has other routes."""
        assert Fault.parse(text) == fault

    @pytest.mark.parametrize(
        "text", ["", "reset", "reset=", "reset=often", "reset=1@", "reset=1@:job", "reset=1@a:"]
    )
    def test_unreadable(self, text: str) -> None:
        """An incomplete spelling is an error that shows the right ones."""
        with pytest.raises(ValueError, match=f'"{text}" must be KIND=RATE, .*for example: reset='):
            Fault.parse(text)

    def test_unknown(self) -> None:
        """An unknown kind has another error than a wrong spelling."""
        with pytest.raises(ValueError, match="No fault 'fire'"):
            Fault.parse("fire=1")
