"""Features of PostgreSQL: roles, collations, time zones and concurrent creation."""

import random
import threading
from pathlib import Path

import pandas as pd
import psycopg
import pytest
from pandas.testing import assert_frame_equal

from backupkit.cli import main
from backupkit.errors import HistoryError
from backupkit.history import History
from tests import raw
from tests.builders import FIRST, SECOND, at, observation, snapshot
from tests.postgres import NEEDED, PostgresServer

READER = (
    "GRANT USAGE ON SCHEMA backupkit TO reader",
    "GRANT SELECT ON ALL TABLES IN SCHEMA backupkit TO reader",
)
"""Grants of a role that evaluates and reports, as in docs/history.md."""

WRITER = (
    "GRANT USAGE ON SCHEMA backupkit TO writer",
    "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA backupkit TO writer",
)
"""Grants of a role that collects."""

FLEET = """
[defaults]
user = "u@v"
password = { env = "VCSA_PASSWORD" }

[policy]
rpo = "24h"

[[appliance]]
name = "vc-1"
host = "vc-1.example"
"""


def test_concurrent_creation(postgres_server: PostgresServer) -> None:
    """The first of eight threads creates the tables; all open the same history."""
    for _ in range(2):
        with postgres_server.fresh_database() as url:
            barrier = threading.Barrier(8)
            found: list[object] = []

            def begin(url: str = url, barrier: threading.Barrier = barrier) -> None:
                barrier.wait()
                try:
                    found.append(History(url).identity)  # noqa: B023 # joined below
                except Exception as error:  # noqa: BLE001 # pragma: no cover # where it fails
                    found.append(error)  # noqa: B023 # joined below

            threads = [threading.Thread(target=begin) for _ in range(8)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            assert len(found) == 8
            assert len(set(map(repr, found))) == 1
            assert isinstance(found[0], bytes)
            assert History(url, create=False).verify().empty


class TestRoles:
    """A role can do only what it was granted."""

    @pytest.fixture
    def owned(self, postgres_url: str) -> History:
        """Return a history of one collection that belongs to the owner."""
        history = History(postgres_url)
        history.append(FIRST)
        return history

    def test_reader(
        self,
        owned: History,
        postgres_server: PostgresServer,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """A role with SELECT can read, report and verify, and change nothing."""
        postgres_server.create_role("reader", "secret", *READER, database=owned.uri)
        monkeypatch.setenv("PGPASSWORD", "secret")
        url = postgres_server.url(owned.uri, "reader")
        history = History(url)
        assert_frame_equal(history.jobs(), owned.jobs())
        assert history.verify().empty
        assert history.facts()["Jobs"] == "2"
        assert len(history.sql("SELECT * FROM v_last_success")) == 2
        fleet = tmp_path / "fleet.toml"
        fleet.write_text(FLEET, encoding="utf-8")
        sources = ["--history", url, "--fleet", str(fleet)]
        out = tmp_path / "report.html"
        assert main(["report", *sources, "--out", str(out), "--redact"]) == 0
        assert out.exists()
        assert main(["history", "info", "--history", url]) == 0
        for change in (
            lambda: history.append(SECOND),
            lambda: history.prune(at(99)),
            lambda: history.forget("vc-1"),
        ):
            with pytest.raises(HistoryError, match="the privileges that docs/history"):
                change()
        assert_frame_equal(owned.jobs(), history.jobs())

    def test_writer(
        self, owned: History, postgres_server: PostgresServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A role that may write rows can append and remove."""
        postgres_server.create_role("writer", "secret", *WRITER, database=owned.uri)
        monkeypatch.setenv("PGPASSWORD", "secret")
        history = History(postgres_server.url(owned.uri, "writer"))
        assert history.append(SECOND).changed == 1
        assert history.forget("vc-1")["polls"] == 2
        assert owned.verify().empty

    def test_nobody(
        self, owned: History, postgres_server: PostgresServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A role without grants gets an error that names the missing grants."""
        postgres_server.create_role("nobody_special", "secret")
        monkeypatch.setenv("PGPASSWORD", "secret")
        url = postgres_server.url(owned.uri, "nobody_special")
        for create in (True, False):
            with pytest.raises(HistoryError, match="the privileges that docs/history"):
                History(url, create=create)


NAMES = ["a", "B", "b", "A", "ä", "Z", "z-1", "z_1", "z1", "_", "Ω", "vc-10", "vc-2", "VC-2", " x"]


@pytest.mark.parametrize("language", [None, "en-US", "sv-SE"])
def test_order(postgres_server: PostgresServer, tmp_path: Path, language: str | None) -> None:
    """Rows come in the same order as from a file, whatever the collation of the database."""
    url = postgres_server.create_database(language=language)
    try:
        histories = [History(url), History(tmp_path / "history.db")]
        shuffled = random.Random(1).sample(NAMES, len(NAMES))  # noqa: S311 # no secret
        for history in histories:
            for minute, names in enumerate((shuffled[:7], shuffled[7:], NAMES)):
                jobs = [
                    observation(name, one, "SUCCEEDED", progress=minute)
                    for name in names
                    for one in NAMES[len(name) :: 4]
                ]
                history.append(snapshot(minute, *jobs, names=tuple(names)))
            assert history.verify().empty
        one, other = histories
        assert_frame_equal(one.jobs(), other.jobs())
        assert_frame_equal(one.polls(), other.polls())
        assert_frame_equal(one.schedules(), other.schedules())
        assert_frame_equal(one.observations(), other.observations())
        assert one.jobs()["appliance"].unique().tolist() == sorted(NAMES)
        entries = "SELECT observations_sha256, polls_sha256, schedules_sha256 FROM appends"
        assert one.sql(entries).to_numpy().tolist() == other.sql(entries).to_numpy().tolist()
    finally:
        postgres_server.drop_database(url)


@NEEDED
class TestZone:
    """A database with another time zone and other settings."""

    def test_zone(self, postgres_server: PostgresServer, tmp_path: Path) -> None:
        """Times are in UTC everywhere, also in views."""
        settings = {
            "timezone": "'Asia/Kathmandu'",
            "datestyle": "sql, dmy",
            "intervalstyle": "sql_standard",
            "extra_float_digits": "0",
            "bytea_output": "escape",
            "standard_conforming_strings": "on",
            "default_transaction_isolation": "serializable",
        }
        with postgres_server.fresh_database() as url:
            name = url.rpartition("/")[2]
            for setting, value in settings.items():
                postgres_server.execute(url, f"ALTER DATABASE {name} SET {setting} TO {value}")
            histories = [History(url), History(tmp_path / "history.db")]
            for history in histories:
                history.append(FIRST)
                one = observation("vc-1", "2", "SUCCEEDED", end_time=at(1), progress=0.1 + 0.2)
                history.append(snapshot(2, one))
                history.append(SECOND)
                history.prune(at(1.5))
                assert history.verify().empty
            for query in ("v_jobs", "v_failures", "v_last_success"):
                found, expected = (
                    one.sql(f"SELECT * FROM {query}").sort_values("start_time", ignore_index=True)  # noqa: S608 # our own
                    for one in histories
                )
                assert_frame_equal(found, expected, check_dtype=False)
            assert_frame_equal(histories[0].jobs(), histories[1].jobs())
            assert histories[0].jobs(at="2026-11-09T21:02:00+01:00")["progress"].max() > 0.3

    def test_restart(self) -> None:
        """An open History survives a restart of the server."""
        with PostgresServer(durable=True) as server:
            history = History(server.create_database())
            history.append(FIRST)
            for stop in (server.stop, server.kill):
                stop()
                server.start()
                assert len(history.jobs()) == 2
                assert history.known_jobs("vc-1", ["1"])[0] == {"1"}
                assert history.append(FIRST).polls == 0
            assert isinstance(history.verify(), pd.DataFrame)
            assert history.verify().empty


def test_read_only_server(postgres_server: PostgresServer, postgres_url: str) -> None:
    """A read-only server, such as a standby, can be evaluated; an append is an error."""
    History(postgres_url).append(FIRST)
    name = postgres_url.rpartition("/")[2]
    with psycopg.connect(postgres_server.url("postgres"), autocommit=True) as connection:
        connection.execute(f"ALTER DATABASE {name} SET default_transaction_read_only TO on")
    history = History(postgres_url)
    assert len(history.jobs()) == 2
    assert history.verify().empty
    with pytest.raises(HistoryError, match="is read-only; name the primary server"):
        history.append(SECOND)


def test_existing_schema(postgres_url: str) -> None:
    """A schema that an administrator created is used."""
    raw.run(postgres_url, "CREATE SCHEMA backupkit")
    history = History(postgres_url)
    history.append(FIRST)
    assert len(history.jobs()) == 2


def test_statistics(postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a large append the planner has the row counts."""
    monkeypatch.setattr("backupkit.history.append._ANALYZE_ABOVE", 2)
    History(postgres_url).append(FIRST)
    query = "SELECT reltuples FROM pg_class WHERE oid = 'backupkit.jobs'::regclass"
    assert raw.run(postgres_url, query) == [(2.0,)]
