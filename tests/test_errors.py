"""The errors: their tree, kinds, fields and texts."""

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
    """Parse the tree in the docstring; return the parent of each class."""
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
        """The tree in the docstring is the one of the classes."""
        assert _drawn() == {kind.__name__: kind.__bases__[0].__name__ for kind in TREE}

    def test_kinds(self) -> None:
        """Each class has its own kind, one lower-case word for the column ``error``."""
        kinds = [error.kind for error in TREE]
        assert len(set(kinds)) == len(kinds)
        assert all(re.fullmatch("[a-z_]+", kind) for kind in kinds)

    def test_retryable(self) -> None:
        """Only a busy appliance and a server error are retried."""
        retryable = {error.__name__ for error in TREE if error.retryable}
        assert retryable == {"BusyError", "ServerError"}

    def test_exported(self) -> None:
        """Each class of the tree and the warning are exported."""
        names = {error.__name__ for error in TREE} | {BackupkitWarning.__name__}
        assert names <= set(errors.__all__)
        assert not issubclass(BackupkitWarning, BackupkitError)


class TestApplianceError:
    """Fields of the errors of one appliance."""

    @pytest.mark.parametrize("kind", _subtree(ApplianceError))
    def test_fields(self, kind: type[ApplianceError]) -> None:
        """An error has its sentence, the status and the waiting time."""
        error = kind("busy", subject="vc-1", advice="Wait.", status_code=503, retry_after=7.0)
        assert (str(error), error.text, error.detail) == ("vc-1: busy. Wait.", *["busy. Wait."] * 2)
        assert (error.problem, error.status_code, error.retry_after) == ("busy", 503, 7.0)

    @pytest.mark.parametrize("kind", [*_subtree(ApplianceError)[1:], CredentialError])
    def test_usual_advice(self, kind: type[BackupkitError]) -> None:
        """An error without advice has the usual advice of its kind."""
        error = kind("it broke")
        assert error.advice == ADVICE[kind.kind]
        assert str(error) == f"it broke. {ADVICE[kind.kind]}"
        assert error.detail == "it broke"

    def test_sent_to_another_process(self) -> None:
        """A pickled error keeps its fields."""
        error = BusyError("busy", subject="vc-1", advice="Wait.", status_code=503, retry_after=7.0)
        assert vars(pickle.loads(pickle.dumps(error))) == vars(error)  # noqa: S301 # our own

    def test_without_a_response(self) -> None:
        """Without a response there is neither a status nor a waiting time."""
        error = ApplianceError("No route.")
        assert error.status_code is None
        assert error.retry_after is None


class TestOneLine:
    """one_line."""

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
        """Text longer than the limit is truncated, with an ellipsis."""
        assert one_line("x" * 200) == "x" * 200
        assert one_line("x" * 201) == "x" * 200 + "…"
        assert one_line("abc", limit=2) == "ab…"

    def test_blanks_do_not_hide_a_cut(self) -> None:
        """Text that is mostly blanks is truncated with an ellipsis, too."""
        assert one_line("a" + " " * 10_000 + "b") == "a…"
