"""tests.prose finds each kind of problem, and ignores code."""

from pathlib import Path

import pytest

from tests import prose

NAMES = [f"vc{number}" for number in range(25)]
CASES = {
    "a word of the vocabulary": ("page.md", "Fine.\n\nThe slot is told to you.\n", 3, "'told'"),
    "a word of the vocabulary in a message": (
        "module.py",
        'TEXT = (\n    "fine"\n)\nERROR = "the rows are tidy and sorted"\n',
        4,
        "'tidy'",
    ),
    "a word of the vocabulary in a comment": (
        "module.py",
        "A = 1\nB = 2  # made anew\n",
        2,
        "'anew'",
    ),
    "a repeated word": ("page.md", f"It reads {'the ' * 2}history.\n", 1, "lexical_illusions"),
    "a long sentence": ("page.md", f"Read {' and '.join(NAMES)}.\n", 1, "50 words"),
    "a docstring without a verb": (
        "module.py",
        'def f() -> None:\n    """Whether it runs."""\n',
        2,
        "begins with 'Whether'",
    ),
    "a docstring in the third person": (
        "module.py",
        'class A:\n    """Tells the time."""\n',
        2,
        "begins with 'Tells'",
    ),
    "a cell of a notebook": (
        "book.ipynb",
        (
            '{"cells": [{"cell_type": "code", "source": ["told"]},'
            ' {"cell_type": "markdown", "source": ["It is ", "told."]}]}'
        ),
        2,
        "'told'",
    ),
}
CLEAN = {
    "page.md": "Call `told`, or:\n\n```\ntold = anew\n```\n\nSee [this](https://told.example/tidy).\n",
    "module.py": (
        '"""Return the jobs.\n\n'
        "    Parameters\n    ----------\n    told : list\n        Jobs.\n\n"
        '    >>> told = "anew"\n    tidy\n    """\ntold = 1\n'
    ),
    "empty.py": "",
    "dated.md": "| date | 2026-12-01 15:32 UTC |\n",
}


@pytest.fixture(autouse=True)
def _root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prose, "ROOT", tmp_path)


@pytest.mark.parametrize(("name", "text", "line", "message"), CASES.values(), ids=list(CASES))
def test_finds(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    name: str,
    text: str,
    line: int,
    message: str,
) -> None:
    """A finding has file, line and problem; the exit code is 1."""
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    assert prose.main([str(path)]) == 1
    [found] = capsys.readouterr().out.splitlines()
    assert found.startswith(f"{name}:{line}: ")
    assert message in found


@pytest.mark.parametrize(("name", "text"), CLEAN.items(), ids=list(CLEAN))
def test_ignores_code(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, text: str
) -> None:
    """Code, addresses, examples and parameter names are not prose."""
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    assert prose.main([str(path)]) == 0
    assert capsys.readouterr().out == "files without findings: 1\n"
