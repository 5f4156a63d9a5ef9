"""The error tree: drawn as it is, and with a word for every class."""

import pickle
import re

import pytest

from backupkit import errors
from backupkit.errors import (
    ADVICE,
    ApplianceError,
    BackupkitError,
    BackupkitWarning,
    BusyError,
    CredentialError,
    one_line,
)


def _subtree(root: type[BackupkitError]) -> list[type[BackupkitError]]:
    return [root, *(one for child in root.__subclasses__() for one in _subtree(child))]


TREE = _subtree(BackupkitError)


def _drawn() -> dict[str, str]:
    """Read the docstring's drawing: each class, and the one it hangs from."""
    branches: list[tuple[int, str]] = []
    parents: dict[str, str] = {}
    for line in (errors.__doc__ or "").splitlines():
        if found := re.match(r"(?P<indent>[ │├└─]*)(?P<name>\w+Error)\b", line):
            depth = len(found["indent"])
            branches = [branch for branch in branches if branch[0] < depth]
            parents[found["name"]] = branches[-1][1] if branches else "Exception"
            branches.append((depth, found["name"]))
    return parents


class TestTree:
    """The tree of errors in the docstring."""

    def test_drawing(self) -> None:
        """The docstring draws every class below the one it really derives from."""
        assert _drawn() == {one.__name__: one.__bases__[0].__name__ for one in TREE}

    def test_drawing_is_deep(self) -> None:
        """The reading of the drawing sees two levels, so that the test above means something."""
        drawn = _drawn()
        assert drawn["SettingsError"] == "BackupkitError"
        assert drawn["LoginError"] == "ApplianceError"

    def test_kinds(self) -> None:
        """Each class has a kind of its own, one lower-case word for the column ``error``."""
        kinds = [one.kind for one in TREE]
        assert len(set(kinds)) == len(kinds)
        assert all(re.fullmatch("[a-z_]+", kind) for kind in kinds)

    def test_retryable(self) -> None:
        """Only what may pass by itself is worth another try."""
        retryable = {one.__name__ for one in TREE if one.retryable}
        assert retryable == {"BusyError", "ServerError"}

    def test_exported(self) -> None:
        """Every class of the tree, and the warning, can be imported by name."""
        names = {one.__name__ for one in TREE} | {BackupkitWarning.__name__}
        assert names <= set(errors.__all__)
        assert not issubclass(BackupkitWarning, BackupkitError)


class TestApplianceError:
    """Fields of the errors of one appliance."""

    @pytest.mark.parametrize("kind", _subtree(ApplianceError))
    def test_fields(self, kind: type[ApplianceError]) -> None:
        """Status and waiting time are kept beside the sentence."""
        error = kind("busy", subject="vc-1", advice="Wait.", status_code=503, retry_after=7.0)
        assert (str(error), error.text, error.detail) == ("vc-1: busy. Wait.", *["busy. Wait."] * 2)
        assert (error.problem, error.status_code, error.retry_after) == ("busy", 503, 7.0)

    @pytest.mark.parametrize("kind", [*_subtree(ApplianceError)[1:], CredentialError])
    def test_usual_advice(self, kind: type[BackupkitError]) -> None:
        """Without advice of its own an error has the usual one of its kind."""
        error = kind("it broke")
        assert error.advice == ADVICE[kind.kind]
        assert str(error) == f"it broke. {ADVICE[kind.kind]}"
        assert error.detail == "it broke"

    def test_sent_to_another_process(self) -> None:
        """An error keeps its fields when it is pickled."""
        error = BusyError("busy", subject="vc-1", advice="Wait.", status_code=503, retry_after=7.0)
        assert vars(pickle.loads(pickle.dumps(error))) == vars(error)  # noqa: S301 # our own

    def test_without_an_answer(self) -> None:
        """Without an answer there is neither."""
        error = ApplianceError("No route.")
        assert error.status_code is None
        assert error.retry_after is None


class TestOneLine:
    """Untrusted words inside our sentences."""

    @pytest.mark.parametrize(
        ("text", "shown"),
        [
            ("plain words", "plain words"),
            ("two\r\nlines\u2028three", "two lines three"),
            ("\x1b[31mred\x00\x07", "[31mred"),
            ("right\u202eto left", "right to left"),
            ("\ud800", ""),
            ("", ""),
        ],
    )
    def test_cleaned(self, text: str, shown: str) -> None:
        """Line ends, terminal escapes, direction marks and lone surrogates become blanks."""
        assert one_line(text) == shown

    def test_cut(self) -> None:
        """Text longer than the limit is truncated, which shows."""
        assert one_line("x" * 200) == "x" * 200
        assert one_line("x" * 201) == "x" * 200 + "…"
        assert one_line("abc", limit=2) == "ab…"

    def test_blanks_do_not_hide_a_cut(self) -> None:
        """Text that is mostly blanks still shows that something was left out."""
        assert one_line("a" + " " * 10_000 + "b") == "a…"
