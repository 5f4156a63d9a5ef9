"""A scripted month: exactly which messages go out, and why; and the page that shows it."""

import json
from collections.abc import Callable
from pathlib import Path

import jsonschema
import pytest

from backupkit import History
from tests.alerts import month
from tests.alerts.month import PAGE, Month, run_month, write_table

SCHEMA = json.loads(PAGE.with_name("alert.schema.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Month:
    """Return the month after its last run."""
    return run_month(History(tmp_path_factory.mktemp("month") / "history.db"))


def test_mails(done: Month) -> None:
    """Mail gets exactly these messages."""
    assert done.mail.changes == [
        ["opened breach:vc-ham-01"],
        ["repeated breach:vc-ham-01"],
        ["worse breach:vc-ham-01"],
        ["closed breach:vc-ham-01"],
        *[["opened unknown:vc-nyc-03"], ["closed unknown:vc-nyc-03"]] * 3,
        ["unstable unknown:vc-nyc-03"],
        ["repeated unknown:vc-nyc-03"],
        ["opened breach:vc-tyo-01"],
        ["closed breach:vc-tyo-01"],
        ["opened breach-soon:vc-ham-02"],
        ["opened breach:vc-ham-02", "closed breach-soon:vc-ham-02"],
        ["closed breach:vc-ham-02"],
        ["opened breach:vc-ham-02", "closed unknown:vc-nyc-03"],
        ["closed breach:vc-ham-02"],
        ["opened breach:vc-nyc-01"],
        ["closed breach:vc-nyc-01"],
        ["opened unknown:vc-tyo-02"],
        ["repeated unknown:vc-tyo-02"],
        ["repeated unknown:vc-tyo-02"],
        ["closed unknown:vc-tyo-02"],
        ["opened target:fleet"],
        ["worse target:fleet"],
        ["repeated target:fleet"],
        ["closed target:fleet"],
    ]


def test_chats(done: Month) -> None:
    """The chat gets the same changes: those of the day when it was down in one message."""
    changes = [change for message in done.chat.changes for change in message]
    assert sorted(changes) == sorted(change for one in done.mail.changes for change in one)
    assert ["opened breach:vc-nyc-01", "closed breach:vc-nyc-01"] in done.chat.changes


def test_pages(done: Month) -> None:
    """The pager gets critical alerts; once it gets all, it gets no old news."""
    assert done.pager.changes == [
        ["opened breach:vc-ham-01"],
        ["repeated breach:vc-ham-01"],
        ["worse breach:vc-ham-01"],
        ["closed breach:vc-ham-01"],
        ["opened breach:vc-tyo-01"],
        ["closed breach:vc-tyo-01"],
        ["opened breach:vc-ham-02"],
        ["closed breach:vc-ham-02"],
        ["opened breach:vc-ham-02"],
        ["closed breach:vc-ham-02"],
        ["opened breach:vc-nyc-01"],
        ["closed breach:vc-nyc-01"],
        ["repeated unknown:vc-tyo-02"],
        ["repeated unknown:vc-tyo-02"],
        ["closed unknown:vc-tyo-02"],
        ["opened target:fleet"],
        ["worse target:fleet"],
        ["repeated target:fleet"],
        ["closed target:fleet"],
    ]


def test_schema(done: Month) -> None:
    """Each document is as docs/alert.schema.json says."""
    validator = jsonschema.Draft202012Validator(SCHEMA)
    for document in [*done.mail.delivered, *done.chat.delivered, *done.pager.delivered]:
        validator.validate(document)
    assert sum(bool(one["perhaps_not_delivered"]) for one in done.mail.delivered) == 1


def test_page(make_history: Callable[[], History]) -> None:
    """The table in the page is that of this month, in SQLite and in PostgreSQL.

    python -m tests.alerts.month writes it.
    """
    table = run_month(make_history()).table()
    assert f"{month.BEGIN}\n\n{table}\n\n{month.END}" in PAGE.read_text(encoding="utf-8")


def test_write_table(tmp_path: Path) -> None:
    """The script replaces the table, and nothing else."""
    page = tmp_path / "alerts.md"
    page.write_text(f"before\n{month.BEGIN}\nold\n{month.END}\nafter\n", encoding="utf-8")
    write_table(page, "| new |")
    expected = f"before\n{month.BEGIN}\n\n| new |\n\n{month.END}\nafter\n"
    assert page.read_text(encoding="utf-8") == expected
