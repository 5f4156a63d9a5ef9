"""Check of the prose: documents, docstrings, comments, messages. `python -m tests.prose`.

proselint applies its own checks and the project's vocabulary below. Everything that is not prose is
replaced by blanks first, so line and column of a finding are those of the file.
"""

import ast
import io
import json
import re
import sys
import tokenize
from collections.abc import Callable, Iterator
from pathlib import Path

from proselint.checks import __register__ as checks_of_proselint
from proselint.config import Config
from proselint.registry import CheckRegistry
from proselint.registry.checks import Check, CheckResult
from proselint.registry.checks.types import PreferredFormsSimple
from proselint.tools import LintFile

Texts = list[tuple[int, str]]  # each with the line where it begins

ROOT = Path(__file__).parents[1]
FOLDERS = ("backupkit", "docs", "notebooks", "tests")
LONGEST_SENTENCE = 40  # [words]
# a word that only the author would use: what a reader expects instead
VOCABULARY = {
    "anew": "again",
    "anyhow": "in any case",
    "befallen": "affected",
    "befell": "affected",
    "came of it": "the result",
    "good-bye": "close",
    "looked at": "read, polled or checked",
    "mend": "fix",
    "mended": "fixed",
    "mends": "fixes",
    "neighbour": "adjacent",
    "neighbours": "adjacent",
    "of which nothing": "without",
    "put aside": "save or skip",
    "so many": "the number of",
    "strikes": "failures in a row",
    "tell apart": "distinguish",
    "tells apart": "distinguishes",
    "tidy": "clean up, normalize or format",
    "told": "known, reported or stated",
    "vouch": "confirm",
    "vouched": "confirmed",
    "vouches": "confirms",
    "visit": "poll",
    "visited": "polled",
    "visits": "polls",
    "wants to be": "must be",
    "worked on at once": "processed concurrently",
}
DOCSTRING_START = re.compile(
    r"(Gives?|Tells?|Says?|What|Whether|Who|Whom|How|Where|Which|That|Those|Hold|Make sure)\b"
)
CONFIG = Config(
    max_errors=1000,
    checks={
        "lexical_illusions": True,
        "misc.composition": False,  # "not important" and the like have exact meanings here
        "misc.phrasal_adjectives": False,
        "project": True,
        "typography": False,  # ASCII quotes and dots, as in code
        "archaism": True,
        "cliches": True,
        "hedging": True,
        "malapropisms": True,
        "misc": True,
        "mixed_metaphors": True,
        "mondegreens": True,
        "needless_variants": True,
        "nonwords": True,
        "oxymorons": True,
        "redundancy": True,
        "skunked_terms": True,
        "spelling": False,  # British spelling throughout; proselint asks for one of two
        "terms": True,
        "uncomparables": True,
    },
)


def long_sentences(text: str, check: Check) -> Iterator[CheckResult]:
    """Find sentences that nobody reads in one go."""
    for sentence in re.finditer(r"[A-Z][^.!?:;|]*(?:[.!?:;|](?=\S)[^.!?:;|]*)*", text):
        for part in re.split(r"\n\s*\n", sentence.group()):
            if (words := len(re.findall(r"\w{2,}", part))) > LONGEST_SENTENCE:
                yield CheckResult(check.path, f"{words} words", sentence.span(), None)


PROJECT = (
    Check(
        check_type=PreferredFormsSimple(items=VOCABULARY),
        path="project.vocabulary",
        message="Write {}, not '{}'.",
    ),
    Check(check_type=long_sentences, path="project.sentences", message=""),
)


def blank(text: str) -> str:
    """Replace every character but the ends of lines by a blank."""
    return re.sub(r"[^\n]", " ", text)


def blank_all(pattern: str, text: str, flags: re.RegexFlag = re.MULTILINE) -> str:
    """Replace what a pattern matches by blanks."""
    return re.sub(pattern, lambda found: blank(found.group()), text, flags=flags)


def without_code(text: str) -> str:
    """Return a text without examples, code, addresses and tags; every line keeps its place."""
    text = blank_all(r"^```.*?^```", text, re.MULTILINE | re.DOTALL)
    text = blank_all(r"^\s*(>>>|\.\.\. ).*(\n(?!\s*(>>>|$)).+)*", text)  # examples and their output
    text = blank_all(r"``[^`]*``|`[^`]*`|^.*[│├└].*$", text)  # a tree is a picture
    # numpydoc: headings, names with types, types alone
    text = blank_all(r"^\s*([\w.\[\], |*]+ : .*|[\w.]+(\[.*\])?( or None)?|-{3,})$", text)
    text = blank_all(r"\d{4}-\d\d-\d\d \d\d:\d\d", text)  # 01 11:30 is no repeated word
    return blank_all(r"\]\([^)]*\)|https?://\S+|<[^>\n]*>", text)


def texts_of_markdown(text: str) -> Texts:
    """Return a page as one text."""
    return [(1, text)]


def texts_of_notebook(text: str) -> Texts:
    """Return the markdown cells of a notebook, each with its number."""
    cells = json.loads(text)["cells"]
    return [
        (number, "".join(cell["source"]).replace("\n", " "))
        for number, cell in enumerate(cells, 1)
        if cell["cell_type"] == "markdown"
    ]


def texts_of_python(text: str) -> Texts:
    """Return docstrings, comments and messages of a module, each with the line where it begins."""
    literals = [
        (node.lineno, node.value)
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and is_prose(node.value)
    ]
    comments = [
        (token.start[0], token.string[1:])
        for token in tokenize.generate_tokens(io.StringIO(text).readline)
        if token.type == tokenize.COMMENT and not re.search(r"noqa|type: ", token.string)
    ]
    return literals + comments


def is_prose(text: str) -> bool:
    """Return whether a literal is prose: three words, and neither SQL nor HTML nor CSS."""
    return bool(re.search(r"[a-z]{2,} [a-z]{2,} [a-z]{2,}", text)) and not re.match(
        r"\s*(SELECT|INSERT|CREATE|WITH|UPDATE|DELETE|<|[.#@]\w+ \{)", text
    )


READERS: dict[str, Callable[[str], Texts]] = {
    ".ipynb": texts_of_notebook,
    ".md": texts_of_markdown,
    ".py": texts_of_python,
}


def dialect_of_docstrings(text: str) -> Iterator[tuple[int, str]]:
    """Find docstrings that begin neither with a verb nor with a noun."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            docstring = ast.get_docstring(node) or ""
            if DOCSTRING_START.match(docstring):
                yield node.body[0].lineno, f"A docstring begins with '{docstring.split()[0]}'."


def findings(path: Path) -> list[str]:
    """Check one file; return its findings, each with its place."""
    source = path.read_text(encoding="utf-8")
    lines, places = [], []
    for first, text in READERS[path.suffix](source):
        for number, line in enumerate(without_code(text).splitlines(), first):
            lines.append(f" {line.strip() or '.'}")  # a paragraph ends with a dot
            places.append(number)
        lines.append("\n.\n")  # keeps texts apart
        places += 3 * [first]
    if not lines:
        return []
    name = path.relative_to(ROOT)
    results = LintFile(str(name), "\n".join(lines)).lint(CONFIG)
    found = [
        (places[row - 1], f"{result.message} [{result.check_path}]") for result, (row, _) in results
    ]
    if path.suffix == ".py":
        found += dialect_of_docstrings(source)
    return [f"{name}:{line}: {message}" for line, message in sorted(found)]


def main(arguments: list[str]) -> int:
    """Check the given files, or all of the project."""
    if not CheckRegistry().checks:
        CheckRegistry().register_many((*PROJECT, *checks_of_proselint))
    paths = [Path(one).resolve() for one in arguments] or [
        path
        for pattern in ("*", *(f"{folder}/**/*" for folder in FOLDERS))
        for path in sorted(ROOT.glob(pattern))
        if path.suffix in READERS and path.name not in {"prose.py", "test_prose.py"}
    ]
    found = [line for path in paths for line in findings(path)]
    print("\n".join(found) or f"files without findings: {len(paths)}")
    return bool(found)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
