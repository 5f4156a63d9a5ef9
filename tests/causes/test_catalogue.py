"""Known causes of failures, and those of a fleet."""

import dataclasses
import re
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backupkit.causes import Catalogue, Cause, cause_of, known_causes, load_causes
from backupkit.causes.catalogue import MAX_CAUSES
from backupkit.errors import SettingsError
from backupkit.policy import Policy


@pytest.mark.parametrize(
    ("text", "name"),
    [
        (
            "BackupManager encountered an exception. Full backup not allowed during VM snapshot",
            "snapshot",
        ),
        (
            "Db health is UNHEALTHY, Backup Failed.Disable health check to take backup.",
            "database-health",
        ),
        ("Error during component wcp backup", "component-wcp"),
        ("error during component vum backup", "component-vum"),
        ("Error during component vtsdb backup", "component"),
        ("Failed to dispatch WAL directory structure.", "database-log"),
        ("SCP location nas-1:/x is invalid", "scp-location"),
        ("Invalid SCP location", "scp-location"),
        ("Failed to upload /a/b to nas-1: curl error 79", "ssh-session"),
        ("curl error: (79) of the session", "ssh-session"),
        ("curl error: (67)", "login"),
        ("Connection to nas-1 lost: broken pipe", "connection-lost"),
        ("User session count is limited to 550. Existing session count is 550", "sessions"),
        ("BackupManager encountered an exception. Please check logs for details.", "see-log"),
        ("Backup job failed.", "see-log"),
        ("Not enough space on nas-1: 900 MB needed, 20 MB free.", "no-space"),
        ("write failed: [Errno 28]", "no-space"),
        ("/storage/db/vpostgres/x: No space left on device", "appliance-full"),
        ("552 Requested file action aborted. Exceeded storage allocation", "quota"),
        ("Permission denied (publickey,password).", "login"),
        ("open /x: Permission denied", "permission"),
        ("HTTP/1.1 403", "permission"),
        ("mount error(13): Permission denied", "smb-login"),
        ("ssh: connect to host nas port 22: Connection refused", "refused"),
        ("Could not resolve host: nas-1", "name-not-resolved"),
        ("connect timed out", "timeout"),
        ("@ WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED! @", "host-key"),
        ("SSL certificate problem: certificate has expired", "certificate-expired"),
        ("HTTP 405", "web-dav"),
        ("mount.nfs: Stale file handle", "nfs-stale"),
        ("503 Server Error for url: http://localhost:1080/wcp", "local-service"),
    ],
)
def test_known_texts(text: str, name: str) -> None:
    """A text has its cause; of two that match, the more specific one counts."""
    found = cause_of(text)
    assert found is not None
    assert found.name == name


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Something nobody has seen",
        "Db health is HEALTHY",
        "Error during component  backup",
        "curl error 790",
        "SCP location set. The password is invalid",
        "unbroken pipeline",
        "x" * 4_000 + " broken pipe",
    ],
)
def test_unknown_texts(text: str) -> None:
    """A text that is unknown, or that begins too far in, has no cause."""
    assert cause_of(text) is None


def test_ids() -> None:
    """A known id is enough, and an unknown one does not hide the text."""
    busy = cause_of("", "com.vmware.vapi.endpoint.failedToLoginMaxUserSessionCountReached")
    clock = cause_of(None, "com.vmware.applmgmt.err_ntp_sync_failed")
    pipe = cause_of("broken pipe", "sample.backup.broken_pipe")
    assert [found and found.name for found in (busy, clock, pipe)] == [
        "sessions",
        "clock",
        "connection-lost",
    ]
    assert cause_of("", "") is None
    assert cause_of(None) is None


def test_missing_values() -> None:
    """A missing value has no cause."""
    for nothing in (pd.NA, float("nan")):
        assert cause_of(nothing, nothing) is None  # type: ignore[arg-type] # as a cell may be


def test_catalogue() -> None:
    """There are 60 causes; each has a name of its own, sentences and a source, and is immutable."""
    causes = known_causes().causes
    assert len({cause.name for cause in causes}) == len(causes) > 60
    for cause in causes:
        assert re.fullmatch(r"[a-z]+(-[a-z]+)*", cause.name)
        assert cause.cause.endswith(".")
        assert cause.next_step.endswith(".")
        assert cause.source
    with pytest.raises(dataclasses.FrozenInstanceError):
        causes[0].name = "other"  # type: ignore[misc] # that is the point


def test_each_text_finds_its_cause() -> None:
    """No text or id of the catalogue is hidden by a cause before it."""
    for cause in known_causes().causes:
        for text in cause.texts:
            assert cause_of(text) == cause, text
        for message_id in cause.ids:
            assert cause_of("", message_id) == cause


def test_order() -> None:
    """Of several causes that match, the first counts, whether by id, text or pattern."""
    values: Any = {"cause": "It is.", "next_step": "Wait.", "source": "me"}
    first = Cause(name="first", patterns=(r"full \d",), **values)
    second = Cause(name="second", texts=("disk full",), ids=("x", "y"), **values)
    third = Cause(name="third", texts=("Disk",), patterns=("never",), ids=("y",), **values)
    catalogue = Catalogue([first, second, third])
    assert [
        found and found.name
        for found in (
            catalogue.find("disk full 3"),
            catalogue.find("disk full"),
            catalogue.find("DISK\n\tempty"),
            catalogue.find("disk", "x"),
            catalogue.find("full 3", "y"),
            catalogue.find("disks"),
        )
    ] == ["first", "second", "third", "second", "first", None]
    assert "third" in catalogue
    assert "fourth" not in catalogue
    assert (catalogue["third"], catalogue.rank(third)) == (third, 2)


@pytest.mark.property
@given(st.text(), st.none() | st.text())
def test_any_text(text: str, message_id: str | None) -> None:
    """Any text has a cause or none, without an error."""
    assert isinstance(cause_of(text, message_id), Cause | None)


ENTRY = """
[[cause]]
name = "gateway"
texts = ["gateway closed the session"]
cause = "The storage gateway was restarted."
next_step = "Ask the storage team."
"""


class TestLoadCauses:
    """`load_causes`."""

    @staticmethod
    def write(folder: Path, fleet: str, causes: str | None = None) -> Path:
        """Write fleet.toml and a file of causes."""
        (folder / "fleet.toml").write_text(fleet, encoding="utf-8")
        if causes is not None:
            (folder / "causes.toml").write_text(causes, encoding="utf-8")
        return folder / "fleet.toml"

    def test_none(self, tmp_path: Path) -> None:
        """A fleet without own causes has none."""
        assert load_causes(self.write(tmp_path, "")) == ()

    def test_table(self, tmp_path: Path) -> None:
        """A table of fleet.toml is a cause; its source is the file unless it names one."""
        (cause,) = load_causes(self.write(tmp_path, ENTRY))
        assert (cause.name, cause.source, cause.tells) == ("gateway", "fleet.toml", "cause")
        path = self.write(tmp_path, ENTRY + 'source = "our wiki"\ntells = "place"\n')
        (cause,) = load_causes(path)
        assert (cause.source, cause.tells) == ("our wiki", "place")
        found = Catalogue([cause]).find("The gateway closed the session.")
        assert found == cause

    def test_file(self, tmp_path: Path) -> None:
        """The file that `causes` names is relative to the folder of fleet.toml."""
        fleet = 'causes = "causes.toml"\n' + ENTRY.replace("gateway", "here")
        path = self.write(tmp_path, fleet, ENTRY + "patterns = ['code 7\\d{3}']\n")
        assert [(cause.name, cause.source) for cause in load_causes(path)] == [
            ("here", "fleet.toml"),
            ("gateway", "causes.toml"),
        ]
        assert [cause.name for cause in Policy.load(path).causes] == ["here", "gateway"]

    @pytest.mark.parametrize(
        ("fleet", "causes", "problem"),
        [
            ("causes = 3", None, 'causes must be the name of a file; for example: causes = "'),
            ('causes = "gone.toml"', None, 'causes = "gone.toml": there is no file '),
            ('causes = "causes.toml"', "caus = 1", 'unknown key "caus"; the file has only tables'),
            ('causes = "causes.toml"', "[[cause", "is not valid TOML"),
            ("cause = 1", None, "cause must be a list of tables: [[cause]]"),
            ("[cause]\nname = 'x'", None, "cause must be a list of tables: [[cause]]"),
            ("[[cause]]\nname = 'x'", None, '[[cause]] 1: "cause" is missing; for example: '),
            (ENTRY + ENTRY, None, '[[cause]] 2: another cause is named "gateway".'),
            (ENTRY + "pattern = ['x']", None, 'unknown key "pattern"; did you mean "patterns"?'),
            (ENTRY.replace('"gateway"', '" "'), None, '[[cause]] 1: "name" is empty; for example'),
            (
                ENTRY.replace("texts", "ids").replace("gateway closed the session", ""),
                None,
                "an id",
            ),
            (
                ENTRY.replace('texts = ["gateway closed the session"]', ""),
                None,
                "nothing says which messages it is about; for example: texts = [",
            ),
            (ENTRY.replace("gateway closed the session", " a "), None, '"texts": " a " is too sh'),
            (
                ENTRY + "patterns = ['(x', 'y']",
                None,
                '[[cause]] 1: "patterns": (x is no valid regular expression: missing ), ',
            ),
            (ENTRY + "patterns = ['(a+)+b']", None, "(a+)+b repeats without an upper limit (+)"),
            (ENTRY + 'patterns = ["\\bcurl"]', None, "use single quotes"),
            (ENTRY + 'tells = "all"', None, '"tells": invalid enum value'),
            (
                "".join(ENTRY.replace("gateway", f"g{n}") for n in range(MAX_CAUSES + 1)),
                None,
                "it has more than 500 causes",
            ),
        ],
    )
    def test_errors(self, tmp_path: Path, fleet: str, causes: str | None, problem: str) -> None:
        """A wrong entry is an error that names the file, the table and what is wrong."""
        path = self.write(tmp_path, fleet, causes)
        with pytest.raises(SettingsError, match=re.escape(problem)) as raised:
            load_causes(path)
        assert str(tmp_path) in str(raised.value)
