"""Redaction removes all names and keeps every figure."""

import base64
import json
import re
import stat
import subprocess
import sys
import time
import zipfile
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import backupkit as bk
from backupkit.assessment import Assessment
from backupkit.causes import Cause
from backupkit.errors import ADVICE, OutputError, SettingsError
from backupkit.policy import Exclusion, Member, Policy
from backupkit.reports.aliases import Aliases
from backupkit.reports.exports import TABLES
from backupkit.reports.openmetrics import openmetrics
from backupkit.reports.redaction import NOT_SENSITIVE, redact
from backupkit.tables import CLUSTERS, JOBS, POLLS, SCHEDULES
from backupkit.tables.dtypes import MESSAGES, TEXT, TEXTS
from tests.builders import END, START, assess_large_fleet, frame, job, nights, poll, schedule

SECRET = b"a secret of the tests"
LOCATION = "sftp://archivar:geheim@nas-tresor.example.net/Kundenakte"
NAMES = (
    "zweibr",
    "Werk Süd",
    "Lohnbuchhaltung",
    "tresor",
    "example.net",
    "archivar",
    "geheim",
    "Kundenakte",
    "Nachtlauf",
    "2001:db8",
    "192.0.2.77",
    "schmidt",
    "aktenkeller",
)
"""What must not be found anywhere; each is in some place of the assessment below."""

OWN_CAUSE = Cause(
    name="aktenkeller-2",
    texts=("cannot mount 'Kundenakte'",),
    cause="The share 'Kundenakte' of nas-tresor.example.net is gone.",
    next_step="Ask schmidt@lohn.example for /srv/aktenkeller.",
    source="https://wiki.intern.example/aktenkeller",
)
MESSAGES_WITH_NAMES: list[dict[str, Any]] = [
    {
        "id": "x.note",
        "default_message": "Mounting 'Kundenakte' of nas-tresor.example.net",
        "args": [],
        "localized": None,
    },
    {
        "id": "x.mount",
        "default_message": "Backup failed: cannot mount 'Kundenakte' of nas-tresor.example.net for "
        "schmidt@lohn.example, user archivar, from 192.0.2.77 or 2001:db8:0:5::17: "
        "/srv/aktenkeller is not there (aktenkeller-2)",
        "args": ["aktenkeller-2", "28"],
        "localized": f"Zweibrücken-vc kann {LOCATION} nicht lesen, Code 28",
    },
]


@pytest.fixture(scope="module")
def named() -> Assessment:
    """Evaluate a fleet with names in every place that can have one."""
    failed = {"messages": MESSAGES_WITH_NAMES, "location": LOCATION}
    jobs = [
        *nights("Zweibrücken-vc", "sssss"),
        job("Zweibrücken-vc", 5, "failure", **failed),
        job("Zweibrücken-vc", 6, "failure", **failed),
        *nights("vc-zweibruecken-2", "ssssssss"),
    ]
    polls = [
        poll("Zweibrücken-vc"),
        poll("vc-zweibruecken-2"),
        {
            **poll("vc-3", END, "unreachable"),
            "detail": "zweibruecken.intern.example (192.0.2.77) did not answer.",
        },
    ]
    plans = [
        schedule("Zweibrücken-vc", schedule="Nachtlauf-Meier", location=LOCATION),
        schedule("vc-zweibruecken-2", hour=None, location="sftp://[tresor/x"),
    ]
    policy = Policy(
        members=[
            Member(
                appliance="Zweibrücken-vc",
                host="zweibruecken.intern.example",
                site="Werk Süd",
                group="Lohnbuchhaltung",
            ),
            Member(
                appliance="vc-zweibruecken-2",
                host="192.0.2.77",
                site="Werk Süd",
                exclude="wish of schmidt@lohn.example",
            ),
            Member(appliance="vc-3", host="nas-tresor.example.net", policy="Lohnbuchhaltung"),
            Member(appliance="vc-5", host="tresor5.tresor"),
        ],
        named={"Lohnbuchhaltung": Policy(rpo="12h")},
        causes=[OWN_CAUSE],
        groups={"Lohnbuchhaltung": "Lohnbuchhaltung"},
        exclusions=[
            Exclusion(
                reason="move of Werk Süd",
                start="2026-11-03",
                end="2026-11-04",
                appliances=["vc-3", "vc-4"],
                sites=["Werk Nord"],
                groups=["Lohnbuchhaltung 2"],
            )
        ],
        changes={"2026-11-05": Policy(rpo="48h", grace="1h")},
    )
    frames = frame(JOBS, jobs), frame(POLLS, polls), frame(SCHEDULES, plans)
    return bk.evaluate_frames(*frames, policy, start=START, end=END, now=END)


def texts_of(paths: tuple[Path, ...]) -> dict[str, str]:
    """Return all texts of the files, with compressed and encoded parts decoded."""
    texts = {}
    for path in paths:
        if path.suffix == ".xlsx":
            with zipfile.ZipFile(path) as book:
                parts = [book.read(name).decode() for name in book.namelist()]
            texts[path.name] = "\n".join(parts)
            continue
        text = path.read_text(encoding="utf-8")
        pictures = re.findall(r"data:image/svg\+xml;base64,([\w+/=]+)", text)
        texts[path.name] = text + "".join(base64.b64decode(one).decode() for one in pictures)
    return texts


class TestRedact:
    """`Report.redacted`."""

    def test_no_name_is_left(self, named: Assessment, tmp_path: Path) -> None:
        """No file, mail or metric contains a part of a name that was there before."""
        plain = bk.report(named, before=named)
        hidden = plain.redacted(SECRET)
        both = []
        for folder, one in (("plain", plain), ("hidden", hidden)):
            (tmp_path / folder).mkdir()
            texts = texts_of(one.save(tmp_path / folder / "report.html", xlsx=True))
            message = one.message()
            texts["mail"] = message.as_string() + "".join(
                part.get_content() for part in message.walk() if not part.is_multipart()
            )
            texts["metrics"] = openmetrics(one.assessment)
            texts["notebook"] = one._repr_html_()
            texts["page again"] = one.html()
            both.append(texts)
        before, after = both
        all_texts = "".join(before.values()).lower()
        assert [name for name in NAMES if name.lower() not in all_texts] == ["geheim"]
        found = {
            (where, name)
            for where, text in after.items()
            for name in NAMES
            if name.lower() in text.lower()
        }
        assert not found
        assert "Aliases replace the names of" in after["report.html"]
        assert "Names are replaced by aliases" in after["mail"]
        assert json.loads(after["report.json"])["aliased"] is True
        assert "aliases" not in (before["report.html"] + before["mail"]).lower()

    def test_every_figure_is_left(self, named: Assessment) -> None:
        """Verdict, times, numbers, states, shapes and types are unchanged."""
        hidden = redact(named, secret=SECRET).assessment
        assert hidden.verdict == named.verdict
        assert (hidden.start, hidden.end, hidden.now, hidden.version) == (
            named.start,
            named.end,
            named.now,
            named.version,
        )
        for key, table in TABLES.items():
            name = "assessed_jobs" if key == "jobs" else key
            before, after = getattr(named, name), getattr(hidden, name)
            table.check(after)
            kept = [
                column.name
                for column in table
                if column.name != table.index
                and (column.name in NOT_SENSITIVE or column.dtype not in (TEXT, TEXTS, MESSAGES))
            ]
            pd.testing.assert_frame_equal(
                after[kept].reset_index(drop=True), before[kept].reset_index(drop=True)
            )
        assert hidden.policy.threshold == named.policy.threshold
        assert [rule.rpo for rule in hidden.policy.changes.values()] == [
            rule.rpo for rule in named.policy.changes.values()
        ]

    def test_one_name_has_one_alias(self, named: Assessment) -> None:
        """The alias of an appliance is the same in every frame, in texts, and in the policy."""
        hidden = redact(named, secret=SECRET)
        aliases = {name: alias for alias, name in hidden.key.items()}
        one = aliases["Zweibrücken-vc"]
        assert one.startswith("appliance-")
        for name in ("slots", "intervals", "incidents", "jobs", "schedules"):
            assert one in set(getattr(hidden.assessment, name)["appliance"])
        assert one in hidden.assessment.coverage.index
        (signature,) = hidden.assessment.failures.to_dict("records")
        assert one in signature["names"]
        assert signature["text"].startswith(
            f"{one} kann sftp://{aliases['nas-tresor.example.net']}/"
        )
        assert signature["text"].endswith("nicht lesen, Code 28")
        assert signature["chain"][1] == signature["text"]
        assert signature["cause"].startswith("The share '")
        assert signature["cause"].endswith(f" of {aliases['nas-tresor.example.net']} is gone.")
        assert hidden.assessment.policy.causes == ()
        assert hidden.assessment.policy.members[0].appliance == one
        assert hidden.assessment.policy.members[0].site == aliases["Werk Süd"]
        assert f"move of {aliases['Werk Süd']}" == hidden.assessment.policy.exclusions[0].reason

    def test_kinds_of_values(self, named: Assessment) -> None:
        """The kind of a value may depend on another column; builds stay."""
        columns = {
            "property": ["build", "target", "site", "group"],
            "value": ["1", "nfs://x", "x", "x"],
        }
        clusters = CLUSTERS.frame(columns)
        hidden = redact(named.replaced(clusters=clusters), secret=SECRET).assessment
        kinds = [value.partition("-")[0] for value in hidden.clusters["value"]]
        assert kinds == ["1", "nfs://host", "site", "group"]

    def test_the_key_holds_no_password(self, named: Assessment) -> None:
        """The key has names, and never a password of a location."""
        assert "geheim" not in json.dumps(dict(redact(named, secret=SECRET).key))

    def test_another_secret(self, named: Assessment) -> None:
        """Another secret has other aliases for every name."""
        one, other = (redact(named, secret=secret).key for secret in (SECRET, b"another"))
        assert not set(one) & set(other)
        assert sorted(one.values()) == sorted(other.values())

    def test_every_column_is_decided(self) -> None:
        """Every text column is either on the list of those that stay, or redacted."""
        texts = {
            column.name
            for table in TABLES.values()
            for column in table
            if column.dtype in (TEXT, TEXTS)
        }
        assert texts >= NOT_SENSITIVE
        redacted = {"appliance", "reason", "detail", "location", "target", "value"}
        assert redacted <= texts - NOT_SENSITIVE


class TestAliases:
    """`Aliases`."""

    aliases = Aliases(
        SECRET,
        {
            "appliance": ["vc-1", "backup", "17", "ab", "x" * 300],
            "host": ["vc-1", "nas.example"],
            "site": ["Werk Süd"],
        },
    )

    @pytest.mark.parametrize(
        ("text", "shape"),
        [
            ("VC-1 and vc-10", "appliance-* and vc-10"),
            ("vc-1_old, (vc-1)", "appliance-*_old, (appliance-*)"),
            ("on nas.example", "on host-*"),
            ("a backup took 17 min", "a backup took 17 min"),
            ("in werk süd, Werk Südwest", "in site-*, Werk Südwest"),
            ("the user may not read the job details", "the user may not read the job details"),
            ("this user lacks a right; the user is.", "this user lacks a right; the user is."),
            ("user may-1, user is.x, user tom", "user user-*, user user-*, user user-*"),
            ("as user and password by /api", "as user and password by /api"),
            ("at '10.0.0.1' or \"10.0.0.2:22\"", "at 'host-*' or \"host-*:22\""),
            ("at '2001:0:0:5::17', ver. '8.0.3.00400'", "at 'host-*', ver. '8.0.3.00400'"),
            ("failed for user joe_x now", "failed for user user-* now"),
            ("schedule 'default' failed", "schedule 'default' failed"),
            ("schedule 'Meier' failed", "schedule 'name-*' failed"),
            ("it's late, isn't it", "it's late, isn't it"),
            ("exit '28' at 01:05:33", "exit '28' at 01:05:33"),
            ("of fe80::1 and ::1", "of host-* and host-*"),
            ("of 10.0.0.1:22.", "of host-*:22."),
            ("version 8.0.3.00400", "version 8.0.3.00400"),
            ("com.vmware.applmgmt.err_x", "com.vmware.applmgmt.err_x"),
            (r"at \\server\share and c:\secret.txt", "at path-* and path-*"),
            ("see /var/log/x.log.", "see path-*."),
            ("no space at 3/4", "no space at 3/4"),
            ("the host nas.exam…", "the host …"),
            ("mount 'Kunde Mei…", "mount …"),
            ("to sftp://me@nas.example:22/a/b?c", "to sftp://host-*:22/path-*"),
            ("to nfs://nas.example/", "to nfs://host-*/"),
        ],
    )
    def test_text(self, text: str, shape: str) -> None:
        """Names are replaced in any case and context; ordinary words and numbers stay."""
        redacted = self.aliases.text(text)
        assert (
            re.sub(
                r"\b(appliance|host|site|user|name|path)-[a-z2-7]{8}(?![a-z2-7])", r"\1-*", redacted
            )
            == shape
        )

    @pytest.mark.parametrize(
        ("location", "shape"),
        [
            ("sftp://nas.example/x", "sftp://host-*/path-*"),
            ("FTP://[2001:db8::1]:21/x", "ftp://host-*:21/path-*"),
            ("sftp://me:pa/ss@other.example/x", "sftp://host-*/path-*"),
            ("nowhere at all", "path-*"),
            ("nas.example", "host-*"),
            ("nfs:///x", "nfs:///path-*"),
            ("nfs://[not an address/x", "nfs://host-*/path-*"),
        ],
    )
    def test_location(self, location: str, shape: str) -> None:
        """Scheme and port of a location stay; user and password do not."""
        redacted = self.aliases.location(location)
        assert re.sub(r"\b(host|path)-[a-z2-7]{8}", r"\1-*", redacted) == shape

    @pytest.mark.parametrize("kind", ADVICE)
    def test_own_sentence(self, kind: str) -> None:
        """A sentence of this package stays as it is: it names nobody."""
        assert self.aliases.text(f"vc-1: failed. {ADVICE[kind]}").endswith(f". {ADVICE[kind]}")

    def test_many_arguments(self) -> None:
        """A message with many arguments and a long text is redacted in linear time."""
        args = [f"name{number}x" for number in range(3_000)]
        text = " ".join(args * 5)
        began = time.perf_counter()
        redacted = self.aliases.message(
            {"id": "a", "default_message": text, "args": args, "localized": None}
        )
        assert time.perf_counter() - began < 20  # a search for each of them would take minutes
        assert "name1x" not in redacted["default_message"]
        assert redacted["default_message"].split()[7] == redacted["args"][7]

    def test_args(self) -> None:
        """An argument has the same alias alone and inside its text."""
        redacted = self.aliases.message(
            {
                "id": "x",
                "default_message": "Disk of lohn-db (\ue0000\ue001) is 'lohn-db', 'my lohn-db', 95",
                "args": ["lohn-db", "95", None, "a whole sentence of words"],
                "localized": None,
            }
        )
        alias = self.aliases.name("name", "lohn-db")
        text = redacted["default_message"]
        assert text.startswith(f"Disk of {alias} ( 0 ) is '{alias}', 'name-")
        assert text.endswith("', 95")
        assert redacted["args"] == [alias, "95", None, "a whole sentence of words"]
        assert (redacted["id"], redacted["localized"]) == ("x", None)
        without = {"id": None, "default_message": None, "args": None, "localized": "vc-1"}
        assert self.aliases.message(without)["args"] is None

    def test_without_names(self) -> None:
        """Patterns are found even without known names."""
        assert Aliases(SECRET, {}).text("of 10.0.0.1").startswith("of host-")

    @pytest.mark.property
    @given(
        st.lists(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12)),
        st.text(max_size=200),
    )
    def test_any_text(self, names: list[str], text: str) -> None:
        """Any text and names are accepted, and the result is reproducible."""
        one, other = (Aliases(SECRET, {"appliance": names}) for _ in range(2))
        assert one.text(text) == other.text(text)
        assert one.location(text) == other.location(text)
        assert all(one.name("appliance", name).startswith("appliance-") for name in names)

    @pytest.mark.property
    @given(
        st.lists(
            st.from_regex(r"[a-z]{2,6}[-_.][0-9a-z]{2,6}", fullmatch=True),
            min_size=1,
            max_size=30,
            unique=True,
        ),
        st.sampled_from([" ", ", ", "/", "(", "'", '"', "\n", "@", ":", "="]),
    )
    def test_names_in_any_text(self, names: list[str], between: str) -> None:
        """No name stays when names are joined in any way."""
        redacted = Aliases(SECRET, {"appliance": names}).text(f"x {between.join(names)} y")
        words = re.split(r"[^\w.-]+", redacted)
        assert not set(names) & set(words)


class TestKey:
    """`Report.redacted_by`."""

    def test_the_key_is_kept_and_used_again(self, named: Assessment, tmp_path: Path) -> None:
        """The file is readable by its owner only, and a second report has the same aliases."""
        path = tmp_path / "key.json"
        first = bk.report(named).redacted_by(path)
        kept = json.loads(path.read_text(encoding="utf-8"))
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        names = [kept["aliases"][alias] for alias in first.assessment.appliances.index]
        assert names == list(named.appliances.index)
        kept["aliases"]["appliance-earlier"] = "gone"
        path.write_text(json.dumps(kept), encoding="utf-8")
        again = bk.report(named, before=named).redacted_by(str(path))
        assert again.assessment.appliances.equals(first.assessment.appliances)
        assert json.loads(path.read_text(encoding="utf-8")) == kept
        assert [file.name for file in tmp_path.iterdir()] == ["key.json"]

    @pytest.mark.parametrize("content", ["", "{}", '{"secret": "xyz", "aliases": {}}', "[1"])
    def test_not_a_key(self, named: Assessment, tmp_path: Path, content: str) -> None:
        """A file that is no key is never overwritten."""
        path = tmp_path / "notes.txt"
        path.write_text(content, encoding="utf-8")
        with pytest.raises(SettingsError, match=r"notes.txt is not the key file"):
            bk.report(named).redacted_by(path)
        assert path.read_text(encoding="utf-8") == content

    def test_out_of_reach(self, named: Assessment, tmp_path: Path) -> None:
        """A key that cannot be read or written is an error that names it."""
        (tmp_path / "folder").mkdir()
        with pytest.raises(SettingsError, match=r"folder cannot be read: Is a directory"):
            bk.report(named).redacted_by(tmp_path / "folder")
        with pytest.raises(OutputError, match=r"(?s)key.json cannot be written: No such file"):
            bk.report(named).redacted_by(tmp_path / "gone" / "key.json")

    def test_in_another_process(self, tmp_path: Path) -> None:
        """The same secret has the same aliases under another hash seed."""
        code = (
            "from backupkit.reports.aliases import Aliases\n"
            "print(Aliases(b's', {'site': ['b-1', 'a-2']}).text('a-2 b-1'))"
        )
        outputs = {
            subprocess.run(
                [sys.executable, "-c", code],
                env={"PYTHONHASHSEED": seed, "PATH": ""},
                cwd=tmp_path,
                check=True,
                capture_output=True,
            ).stdout
            for seed in ("1", "2")
        }
        assert len(outputs) == 1


def test_many() -> None:
    """All appliances of a large fleet have different aliases."""
    hidden = redact(assess_large_fleet(400), secret=SECRET).assessment
    assert hidden.appliances.index.is_unique
    for jobs in (hidden.assessed_jobs, hidden.jobs):
        assert "vc-site" not in jobs.to_csv()
