"""The sample data is as its README describes, and the documented queries run on it."""

import hashlib
import re
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Final

import backupkit as bk

ROOT: Final = Path(__file__).parent.parent
DATA: Final = ROOT / "data"
SAMPLE: Final = DATA / "history.db"


def test_sample_history() -> None:
    """The sample history has the verdict of the demo."""
    policy = bk.Policy.load(DATA / "fleet.example.toml")
    a = bk.evaluate(bk.History(SAMPLE), policy, now="2026-11-23T23:30:00Z")
    assert a.verdict.sentence == "3 of 10 in scope breach their RPO, 1 unknown, 2 excluded"
    assert list(a.appliances.index[:4]) == ["vc-tyo-02", "vc-nyc-03", "vc-ham-03", "vc-tyo-03"]
    assert len(a.jobs) == 812


def test_sample_is_intact(tmp_path: Path) -> None:
    """The sample history is intact and small, and reading does not change it."""
    sample = Path(shutil.copy(SAMPLE, tmp_path))  # other tests read it meanwhile
    before = hashlib.sha256(sample.read_bytes()).digest()
    history = bk.History(sample, create=False)
    assert history.verify().empty
    history.check_writable()
    assert len(history.sql("SELECT * FROM v_last_success")) == 12
    assert hashlib.sha256(sample.read_bytes()).digest() == before
    assert sample.stat().st_size < 1_000_000
    assert list(tmp_path.iterdir()) == [sample]


def schema_of(path: Path) -> list[tuple[str, str]]:
    """Read the statements that created the tables of a history."""
    with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro&immutable=1", uri=True)) as database:
        return database.execute("SELECT name, sql FROM sqlite_master ORDER BY name").fetchall()


def test_sample_has_the_current_schema(tmp_path: Path) -> None:
    """The sample history has the tables of a new history."""
    bk.History(tmp_path / "history.db").check_writable()
    assert schema_of(SAMPLE) == schema_of(tmp_path / "history.db")


def test_queries() -> None:
    """The queries for SQLite on the page of the history return rows."""
    text = (ROOT / "docs" / "history.md").read_text(encoding="utf-8")
    history = bk.History(SAMPLE)
    blocks = re.findall(r"```sql\n(.*?)```", text, re.DOTALL)
    queries = [query for block in blocks for query in re.split(r";[^\n]*\n", block)]
    for_sqlite = [
        query
        for query in queries
        if "SELECT" in query and "PostgreSQL" not in query and "GRANT" not in query
    ]
    assert len(for_sqlite) == 4
    assert all(len(history.sql(query)) for query in for_sqlite)
