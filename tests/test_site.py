"""The documentation site: it builds without a warning, its code runs, its pages need no network."""

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from playwright.sync_api import Browser

import backupkit as bk
from backupkit import plots
from backupkit.cli import COMMANDS, build_app
from tests.chromium import MARKS, Watched

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
GUIDES = [DOCS / "tutorial.md", DOCS / "gallery.md", *sorted((DOCS / "how-to").glob("*.md"))]
PAGES = (
    *("docs/index", "docs/tutorial", "docs/gallery", "docs/how-to/many-failures"),
    *("docs/commands", "docs/reference/python", "docs/reference/generated/backupkit.evaluate"),
)
"""Pages that are opened on a narrow screen: of each kind one."""


def find_blocks(page: Path, *languages: str) -> list[str]:
    """Return the code blocks of some languages."""
    fence = "|".join(re.escape(language) for language in languages)
    text = page.read_text(encoding="utf-8")
    return re.findall(rf"^ *```(?:{fence})\n(.*?)^ *```$", text, re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of the site, built without its notebooks, which other tests execute."""
    folder = tmp_path_factory.mktemp("site")
    options = ["-q", "-W", "--keep-going", "-b", "html", "-c", "docs", "-d", str(folder / "trees")]
    for setting in ("nb_execution_mode=off", "suppress_warnings=myst-nb.lexer"):
        options += ["-D", setting]
    built = subprocess.run(
        [sys.executable, "-m", "sphinx", *options, ".", str(folder / "html")],
        cwd=ROOT,
        env={name: value for name, value in os.environ.items() if not name.startswith("COV")},
        check=False,
        capture_output=True,
        text=True,
    )
    assert built.returncode == 0, built.stderr
    return folder / "html"


@pytest.mark.parametrize(
    "page", [page for page in GUIDES if find_blocks(page, "python", "{code-cell}")], ids=str
)
def test_python_runs(page: Path, tmp_path: Path) -> None:
    """The Python of a page runs from top to bottom, in a process and a folder of its own."""
    code = "\n".join(find_blocks(page, "python", "{code-cell}"))
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\nassert isinstance(a, bk.Assessment)"],
        cwd=tmp_path,
        env=os.environ | {"MPLBACKEND": "agg"},
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr


def find_commands(page: Path) -> Iterator[list[str]]:
    """Yield the words of each command of a page, after `backupkit`."""
    for block in find_blocks(page, "console", "text"):
        for line in re.findall(r"(?:[$] |bin/)backupkit [^\n|]+", block):
            words = line.partition(" > ")[0].partition(" >> ")[0]
            yield shlex.split(words.removeprefix("$ "), comments=True)[1:]


def test_commands_exist() -> None:
    """Each command of tutorial and guides has a name and options that exist."""
    commands = [words for page in GUIDES for words in find_commands(page)]
    assert len(commands) > 15
    for name, *words in commands:
        if name == "--version":
            continue
        assert name in COMMANDS, name
        command: Any = typer.main.get_command(build_app(name)).commands[name]  # type: ignore[attr-defined] # a group
        if hasattr(command, "commands"):
            command = command.commands[words[0]]
        known = {option for one in command.params for option in one.opts}
        assert {word for word in words if word.startswith("--")} <= known, words


def test_reference_is_complete() -> None:
    """Each public name and each plot has its page in the reference."""
    page = (DOCS / "reference" / "python.md").read_text(encoding="utf-8")
    listed = set(re.findall(r"^   ([\w.]+)$", page, re.MULTILINE))
    modules = {"errors", "plots", "simulator", "tables", "widgets"}
    assert set(bk.__all__) - modules - {"Sample", "__version__"} <= listed
    assert set(plots.__all__) <= listed
    assert {f"widgets.{name}" for name in bk.widgets.__all__} <= listed


def test_generated_pages(site: Path) -> None:
    """Commands, metrics, keys of fleet.toml and of the JSON come from the code."""
    generated = site / "docs" / "reference" / "generated"
    for name, text in (
        ("command-line", "--max-age"),
        ("metrics", "backupkit_appliance_exposure_seconds"),
        ("fleet-toml", "password"),
        ("report-json", "data_version"),
    ):
        assert text in (generated / f"{name}.html").read_text(encoding="utf-8")
    assert "docs/index.html" in (site / "index.html").read_text(encoding="utf-8")


@pytest.mark.browser
@MARKS[1]
def test_in_a_browser(site: Path, browser: Browser) -> None:
    """Pages open from a folder, search finds, and nothing is requested from elsewhere."""
    page = browser.new_page(viewport={"width": 390, "height": 844})
    watched = Watched(page)
    for name in PAGES:
        page.goto((site / f"{name}.html").as_uri())
        assert page.locator("h1").first.is_visible()
        # the article scrolls by itself, so the width of the page alone is no proof
        for selector in ("html", ".bd-article-container"):
            assert page.locator(selector).evaluate("box => box.scrollWidth") <= 390, name
    # the sentence of a function stands below its name
    page.goto((site / "docs/reference/python.html").as_uri())
    name_box, sentence_box = (
        page.locator(f".autosummary tr >> nth=0 >> td >> nth={n}").bounding_box() for n in (0, 1)
    )
    assert name_box is not None
    assert sentence_box is not None
    assert sentence_box["y"] >= name_box["y"] + name_box["height"]
    assert sentence_box["x"] + sentence_box["width"] <= 390
    page.goto((site / "search.html").as_uri() + "?q=breach")
    page.locator("#search-results li a").first.wait_for()
    assert watched.abroad == []
    page.close()
