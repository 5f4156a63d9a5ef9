"""The documentation agrees with the code, its links work, and its glossary is in order."""

import os
import re
import runpy
import subprocess
import sys
import tomllib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import backupkit as bk
from backupkit import analysis, errors, plots, simulator, tables, widgets
from backupkit.tables import OUTCOMES, SLOT_STATES, STATES, Table

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
SCRIPT = DOCS / "generate.py"
OWN = ("backupkit", "data", "docs", "notebooks", "tests")
"""The folders of the repository."""

BUILT = ("_build", "generated")
"""Folders of the documentation site, which are not in the repository."""

PAGES = [
    *ROOT.glob("*.md"),
    *(
        page
        for folder in OWN
        for page in sorted((ROOT / folder).rglob("*.md"))
        if not set(page.parts) & set(BUILT)
    ),
]
DESCRIBING = [*sorted(DOCS.glob("*.md")), ROOT / "CONTRIBUTING.md", ROOT / "SECURITY.md"]
TABLES = [value for value in vars(tables).values() if isinstance(value, Table)]

PUBLIC = (bk, analysis, errors, plots, simulator, tables, widgets)
# words of names with their usual meaning; a word of the field belongs in the glossary
ORDINARY = set(
    re.findall(
        r"\w+",
        """
    advice affected after allowed asked assessed backupkit before busy by byte certificate changed
    choose closed collect column coming compare compared complete completed compliance concurrency
    configured correct correction count credential current cut dask deduplicate denominator describe
    drop duplicate earliest elapsed end ended estimate evaluate expected explore explorer fact
    failing feasibility find found frame free from gap has high host hour id infer inferred
    installation into is
    issued join joined judge judged last least left line listed location locked login low mail mark
    matrix max measure measured minute mixed name newest next no not numerator ok oldest one output
    overlapping parameter password payload peak planned plot polled possible predicted probability
    property ratio read recent record repeated request restore restrict result right route rule
    running sample scenario seen segment selection sent server set setting severity share shared
    sharing simulated size sized slower smallest span spec stalled start step stopped summary sync
    table
    test text timeline timezone to tolerated total trait uncounted unit unreachable view warn
    warning was watcher weekday widget worker zone
        """,
    )
)

_FENCE = re.compile(r"^(```|~~~).*?^\1[^\n]*$", re.MULTILINE | re.DOTALL)
_CODE = re.compile(r"`[^`\n]*`")
_LINK = re.compile(r"\]\(\s*<?([^)\s>]+)>?(?:\s+\"[^\"]*\")?\s*\)")
_HEADING = re.compile(r"^#{1,6}\s+(.+?)\s*#*$", re.MULTILINE)
_ENTRY = re.compile(r"^- \*\*(.+?)\*\*: \S", re.MULTILINE)


def prose(page: Path) -> str:
    """Return a page without its code blocks."""
    return _FENCE.sub("", page.read_text(encoding="utf-8"))


def words_of(name: str) -> list[str]:
    """Return the words of a name in lower case and singular: `slotCounts`, `SLOT_COUNTS`."""
    words = re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", name)
    return [re.sub(r"(?<=[^aisu])s$", "", re.sub("ies$", "y", word.lower())) for word in words]


def links(page: Path) -> list[str]:
    """Return the targets of a page's relative links."""
    found = _LINK.findall(_CODE.sub("code", prose(page)))
    return [target for target in found if not re.match(r"[a-z][a-z0-9+.-]*:", target)]


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as hosting sites build them."""
    seen: Counter[str] = Counter()
    names: set[str] = set()
    for heading in _HEADING.findall(prose(page)):
        text = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading).lower()
        plain = re.sub(r"[^\w\- ]", "", text).replace(" ", "-")
        names.add(f"{plain}-{seen[plain]}" if seen[plain] else plain)
        seen[plain] += 1
    return names


def broken(page: Path) -> Iterator[str]:
    """Return the links of a page without an existing target."""
    for target in links(page):
        path, _, anchor = target.partition("#")
        other = page.parent / path if path else page
        if not other.exists() or (anchor and anchor not in anchors(other)):
            yield target


class TestDataModel:
    """docs/data-model.md."""

    def test_is_as_generated(self) -> None:
        """The pages are the output of docs/generate.py."""
        script: dict[str, Any] = runpy.run_path(str(SCRIPT))
        assert script["PAGE"].read_text(encoding="utf-8") == script["page"]()
        assert script["SLA"].read_text(encoding="utf-8") == script["sla"]()
        assert script["CAUSES"].read_text(encoding="utf-8") == script["causes"]()

    @pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
    def test_has_every_column(self, table: Table) -> None:
        """Each column of each contract has a row with its meaning."""
        page = (DOCS / "data-model.md").read_text(encoding="utf-8")
        rows = [line for line in page.splitlines() if line.startswith("| `")]
        for column in table:
            meaning = column.meaning.replace("*", "\\*").replace("|", "\\|")
            own = [row for row in rows if row.startswith(f"| `{column.name}` |")]
            assert any(row.endswith(f" {meaning} |") for row in own), column.name

    def test_check_sees_a_difference(self, tmp_path: Path) -> None:
        """--check exits with 1 if a page differs from the generated one."""
        script = tmp_path / "generate.py"
        for source in (SCRIPT, DOCS / "sla.md", DOCS / "failure-texts.toml"):
            (tmp_path / source.name).write_bytes(source.read_bytes())
        command = [sys.executable, str(script)]
        environment = os.environ | {"PYTHONPATH": str(ROOT)}
        subprocess.run(command, check=True, env=environment)

        def check() -> subprocess.CompletedProcess[str]:
            return subprocess.run(
                [*command, "--check"], check=False, env=environment, capture_output=True, text=True
            )

        assert check().returncode == 0
        for changed, text in (
            ("data-model.md", "Data model"),
            ("sla.md", "`rpo`"),
            ("failure-causes.md", "Known causes"),
        ):
            page = tmp_path / changed
            content = page.read_text(encoding="utf-8")
            page.write_text(content.replace(text, "x"), "utf-8")
            done = check()
            assert done.returncode == 1
            assert "python docs/generate.py" in done.stderr
            page.write_text(content, "utf-8")


class TestArchitecture:
    """docs/architecture.md."""

    def test_layers(self) -> None:
        """The table of layers is the one that import-linter checks."""
        settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
        [contract] = [
            item for item in settings["tool"]["importlinter"]["contracts"] if item["id"] == "layers"
        ]
        wanted = [name for layer in contract["layers"] for name in layer.split(" | ")]
        page = (DOCS / "architecture.md").read_text(encoding="utf-8")
        table = page.partition("\n## Layers\n")[2].partition("\nMore contracts:\n")[0]
        rows = [line.split("|")[1] for line in table.splitlines() if line.startswith("| `")]
        assert [name for row in rows for name in re.findall(r"`(\w+)`", row)] == wanted


class TestGlossary:
    """docs/glossary.md."""

    def test_order(self) -> None:
        """The entries are in alphabetical order, and no word is defined twice."""
        words = _ENTRY.findall((DOCS / "glossary.md").read_text(encoding="utf-8"))
        plain = [re.sub(r"[^a-z0-9]+", " ", word.casefold()).strip() for word in words]
        assert plain == sorted(plain)
        assert len(plain) == len(set(plain)), "a word is defined twice"

    def test_every_line_is_an_entry(self) -> None:
        """Each line of the list is an entry."""
        lines = prose(DOCS / "glossary.md").splitlines()
        listed = [line for line in lines if line.startswith(("-", "*", "|"))]
        assert len(listed) > 100
        assert [line for line in listed if not _ENTRY.match(line)] == []

    def test_states_and_outcomes(self) -> None:
        """Each state of an appliance or a slot, and each outcome of a job, is defined."""
        words = set(_ENTRY.findall((DOCS / "glossary.md").read_text(encoding="utf-8")))
        assert {*STATES, *SLOT_STATES, *OUTCOMES} <= words

    def test_names_use_its_words(self) -> None:
        """Public names and columns consist of words of the glossary and of ordinary words."""
        entries = _ENTRY.findall((DOCS / "glossary.md").read_text(encoding="utf-8"))
        defined = {word for entry in entries for word in words_of(entry)}
        columns = {column.name for table in TABLES for column in table.columns}
        public = {name for module in PUBLIC for name in module.__all__}
        used = {word: name for name in sorted(columns | public) for word in words_of(name)}
        unknown = {word: name for word, name in used.items() if word not in defined | ORDINARY}
        assert unknown == {}, "define these words in docs/glossary.md, or add them to ORDINARY"
        assert {word for word in ORDINARY if word not in used} == set(), "no longer needed"
        assert defined & ORDINARY == set(), "defined"


class TestModules:
    """Modules that pages name in code, such as `backupkit/errors.py`."""

    @pytest.mark.parametrize("page", DESCRIBING, ids=lambda page: page.name)
    def test_exist(self, page: Path) -> None:
        """Each module that a page names exists."""
        named = {text.strip("`") for text in _CODE.findall(prose(page))}
        modules = {name for name in named if re.fullmatch(r"[\w/.-]+\.py", name)}
        places = (ROOT, ROOT / "backupkit")
        missing = [
            name
            for name in sorted(modules)
            if any((place / name.partition("/")[0]).is_dir() for place in places)
            and not any((place / name).is_file() for place in places)
        ]
        assert missing == []


class TestLinks:
    """The links of all pages."""

    @pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
    def test_targets_exist(self, page: Path) -> None:
        """Each relative link leads to a file, and to a heading if it names one."""
        assert list(broken(page)) == []

    def test_detection(self, tmp_path: Path) -> None:
        """Missing files and headings are found; code and other sites are ignored."""
        page = tmp_path / "page.md"
        page.write_text(
            "# One `thing`: two\n## Same-x\n## Same\n## Same\n"
            "[a](page.md#one-thing-two) [b](#same-1) ![c](<page.md>) [d](https://example.com/x)\n"
            "[e](gone.md) [f](page.md#gone) [g](#same-2) `[h](code.md)`\n"
            "```sh\n# no heading\n[i](code.md)\n```\n",
            encoding="utf-8",
        )
        assert list(broken(page)) == ["gone.md", "page.md#gone", "#same-2"]
        assert anchors(page) == {"one-thing-two", "same-x", "same", "same-1"}
