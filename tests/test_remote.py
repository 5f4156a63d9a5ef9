"""A history at a URL: here an S3 that another process plays, since Delta Lake holds this one."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import pytest
import requests
from deltalake import DeltaTable, write_deltalake
from deltalake.exceptions import CommitFailedError
from deltalake.fs import DeltaStorageHandler
from pandas.testing import assert_frame_equal

import backupkit as bk
from backupkit.cli import main
from backupkit.errors import HistoryError
from backupkit.history import History, stored
from backupkit.history.place import Remote
from backupkit.history.reason import reason
from backupkit.simulator import Scenario
from tests.conftest import OddServer, simulated
from tests.test_history import FIRST, SECOND, at, job, snapshot
from tests.test_many_hands import PROCESSES

KEY, SECRET = "AKIAEXAMPLE", "a-secret-that-no-one-may-see"
ROUNDS, JOBS = 3, 2


@dataclass(frozen=True)
class Bucket:
    """An empty bucket, and how to get there."""

    name: str
    endpoint: str

    @property
    def url(self) -> str:
        """Where a test's history is."""
        return f"s3://{self.name}/a/history"

    @property
    def options(self) -> dict[str, str]:
        """What leads there: the names are those of the environment, too."""
        return {
            "AWS_ACCESS_KEY_ID": KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_REGION": "eu-central-1",
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ALLOW_HTTP": "true",
        }

    def history(self, **more: Any) -> History:  # noqa: ANN401 # whatever History takes
        """Open the history anew."""
        return History(self.url, storage_options=self.options, **more)

    def objects(self) -> list[str]:
        """List what is in the bucket."""
        return re.findall("<Key>(.*?)</Key>", requests.get(self.address, timeout=5).text)

    @property
    def address(self) -> str:
        """Where the bucket answers."""
        return f"{self.endpoint}/{self.name}"


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Run a fake S3 on a free port of loopback, and stop it."""
    said = tmp_path_factory.mktemp("moto") / "said"
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", "0"]
    with said.open("w") as file, subprocess.Popen(command, stderr=file, stdout=file) as process:
        try:
            begun = monotonic()
            pattern = re.compile(r"Running on (http://127\.0\.0\.1:\d+)\s")
            while (found := pattern.search(said.read_text())) is None:
                assert process.poll() is None, said.read_text()
                assert monotonic() - begun < 60
                sleep(0.05)
            yield found[1]
        finally:
            process.kill()


_number = count()


def made(endpoint: str) -> Bucket:
    """Make an empty bucket."""
    bucket = Bucket(f"backups-{next(_number)}", endpoint)
    requests.put(bucket.address, timeout=5).raise_for_status()
    return bucket


@pytest.fixture
def bucket(endpoint: str) -> Bucket:
    """Give an empty bucket."""
    return made(endpoint)


@pytest.fixture(scope="module")
def kept(endpoint: str) -> Bucket:
    """Give a bucket with a history of two rounds, for tests that change nothing."""
    bucket = made(endpoint)
    history = bucket.history()
    history.append(FIRST)
    history.append(SECOND)
    return bucket


@pytest.fixture
def history(kept: Bucket, bucket: Bucket) -> History:
    """Give a copy of it, to be changed."""
    for key in kept.objects():
        source = {"x-amz-copy-source": f"/{kept.name}/{key}"}
        copied = requests.put(f"{bucket.address}/{key}", headers=source, timeout=5)
        copied.raise_for_status()
    return bucket.history(create=False)


@pytest.fixture
def environment(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> Bucket:
    """Put the keys where the command line takes them from."""
    for name, value in bucket.options.items():
        monkeypatch.setenv(name, value)
    return bucket


@pytest.fixture
def wrong_keys(environment: Bucket) -> Iterator[Bucket]:
    """Have the fake S3 look at the keys, and know none."""
    switch = f"{environment.endpoint}/moto-api/reset-auth"
    requests.post(switch, data="0", timeout=5).raise_for_status()
    yield environment
    requests.post(switch, data="inf", timeout=5).raise_for_status()


class TestAsInAFolder:
    """What a folder does, a URL does too."""

    def test_read(self, kept: Bucket, tmp_path: Path) -> None:
        """Whatever is asked, both answer the same."""
        history = kept.history()
        folder = History(tmp_path)
        told = [folder.append(one) for one in (FIRST, SECOND)]
        assert [one.observations for one in told] == [2, 1]
        assert history.append(SECOND).observations == 0
        for ask in ({}, {"at": at(1)}, {"since": at(2)}, {"appliances": ["vc-2"]}):
            for name in ("jobs", "observations", "polls", "schedules"):
                one, other = (getattr(place, name)(**ask) for place in (history, folder))
                assert_frame_equal(one, other)
        assert history.count() == folder.count() == 3
        facts = folder.facts()
        del facts["Size"]
        assert history.facts() == facts

    def test_open(self, kept: Bucket) -> None:
        """It is there when it is opened again, with its identity, by its name."""
        history, again = kept.history(), kept.history(create=False)
        assert_frame_equal(again.observations(), history.observations())
        assert again.identity == history.identity
        assert len(again.identity) == 16
        assert repr(again) == f"History('{kept.url}')"
        assert SECRET not in repr(again._store.place)
        assert not again.sealed

    def test_nothing_there(self, bucket: Bucket) -> None:
        """Without leave to create, nothing is created, and the way to fill one is shown."""
        with pytest.raises(HistoryError, match=rf"{bucket.url} holds no history yet\. Fill it"):
            bucket.history(create=False)
        assert bucket.objects() == []
        empty = bucket.history()
        empty.compact()
        assert empty.facts() == {"Kept": "nothing yet"}
        assert sum(empty.prune(at(9)).values()) == empty.count() == 0

    def test_earlier(self, bucket: Bucket, history: History) -> None:
        """What an earlier version began the next append brings up to date."""
        place = Remote(bucket.url, bucket.options)
        place.read()
        place.write(b'{"format": 1}')
        bucket.history().append(snapshot(3, job("vc-1", "2", "SUCCEEDED")))
        assert json.loads(place.read() or b"")["steps"] == ["seals", "months"]
        assert len(history.jobs()) == 3

    def test_judged(self, kept: Bucket) -> None:
        """It is judged as any."""
        judged = bk.evaluate(kept.history(), bk.Policy(), last="1d", now=at(3))
        assert set(judged.appliances.index) == {"vc-1", "vc-2"}

    def test_merge(self, bucket: Bucket, history: History, tmp_path: Path) -> None:
        """It is taken over and takes over; doing so again changes nothing."""
        folder = History(tmp_path / "folder")
        for added in (3, 0):
            told = folder.merge(bucket.url, storage_options=bucket.options)
            assert told.observations == added
        folder.append(snapshot(3, job("vc-1", "2", "SUCCEEDED")))
        assert history.merge(folder.path).observations == 1
        history.export(tmp_path / "out")
        assert History(tmp_path / "new").merge(tmp_path / "out").observations == 4

    def test_prune(self, bucket: Bucket, history: History) -> None:
        """What was learnt before goes, and the mark records it."""
        assert history.prune(at(2)) == {"polls": 2, "observations": 2, "schedules": 2}
        again = bucket.history()
        assert again.observations()["job_id"].to_list() == ["1"]
        assert len(again.schedules()) == 2
        assert any(name.startswith("Removed 2") for name in again.facts())

    def test_forget(self, bucket: Bucket, history: History) -> None:
        """No object that is left tells the name, and the next round is kept as ever."""
        history.append(snapshot(3, names=("vc-gone",)))
        history.forget("vc-gone")
        keys = bucket.objects()
        assert len(keys) > 5
        for key in keys:
            content = requests.get(f"{bucket.address}/{key}", timeout=5).content
            assert b"vc-gone" not in content, key
        history.append(snapshot(4, job("vc-1", "2", "SUCCEEDED")))
        assert len(bucket.history().jobs()) == 3
        with pytest.raises(HistoryError, match="knows no appliance 'vc-gone'"):
            history.forget("vc-gone")

    def test_verify(self, bucket: Bucket, history: History) -> None:
        """A missing object is named by its table."""
        assert history.verify().empty
        gone = next(key for key in bucket.objects() if "/polls/month=" in key)
        DeltaStorageHandler(f"s3://{bucket.name}", bucket.options).delete_file(gone)
        [problem] = bucket.history().verify().to_dict("records")
        assert problem["file"] == "polls"
        assert problem["problem"].startswith("404 Not Found: NoSuchKey: The specified key does")
        assert problem["lost"] == "all rows of polls that it leads to"


class TestTidy:
    """Small files are put together."""

    def test_by_itself(
        self, bucket: Bucket, history: History, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Every so many appends; rows, dtypes and what was known stay."""
        monkeypatch.setattr(stored, "TIDY_EVERY", 4)
        for minute in range(3, 6):
            history.append(snapshot(minute, job("vc-1", f"{minute}", "SUCCEEDED")))
        assert history.observations()["job_id"].to_list() == ["1", "1", "1", "3", "4", "5"]
        assert len(history.observations(at=at(2))) == 3
        assert any("checkpoint" in key for key in bucket.objects())
        table = DeltaTable(f"{bucket.url}/observations", storage_options=bucket.options)
        assert len(table.file_uris()) < table.version()

    def test_two_at_once(
        self, bucket: Bucket, history: History, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Of two that do it at once one does, and no row is there twice."""
        before, untidy = history.observations(), stored._untidy
        passed: list[str] = []

        def beside(table: DeltaTable, *, whole: bool) -> Iterator[tuple[str, int | None]]:
            months = list(untidy(table, whole=whole))
            if months and not passed:  # another one is quicker
                passed.extend(month for month, _ in months)
                bucket.history().compact()
            yield from months

        monkeypatch.setattr(stored, "_untidy", beside)
        history.compact()
        assert passed == ["2026-11"]
        assert_frame_equal(bucket.history().observations(), before)
        assert bucket.history().count() == len(before)


class TestBesideOthers:
    """No lock: what is written is what Delta's commits allow."""

    def test_append_and_forget(
        self, bucket: Bucket, history: History, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """An append that Delta refuses, since rows were removed meanwhile, is written anew."""
        refused: list[int] = []

        def late(table: DeltaTable, *rows: Any, **more: Any) -> None:  # noqa: ANN401 # as it is called
            if not refused and table.table_uri.endswith("/polls/"):
                bucket.history().forget("vc-2")
                refused.append(table.version())
            write_deltalake(table, *rows, **more)

        monkeypatch.setattr(stored, "write_deltalake", late)
        history.append(snapshot(3, job("vc-1", "2", "SUCCEEDED"), names=("vc-1",)))
        assert refused
        again = bucket.history()
        assert again.observations()["job_id"].to_list() == ["1", "2"]
        assert len(again.polls()) == 3

    def test_given_up(self, kept: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
        """One that is refused again and again is an error in the end."""

        def refuse(*_rows: object, **_more: object) -> None:
            raise CommitFailedError("a concurrent transaction deleted data")

        monkeypatch.setattr(stored, "write_deltalake", refuse)
        with pytest.raises(HistoryError, match=r"cannot be written: a concurrent .* is changed\."):
            kept.history().append(snapshot(3, job("vc-1", "2", "SUCCEEDED")))

    def test_created_twice(self, bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
        """Of two that create it at once the quicker one names it."""
        write, quicker = Remote.write, []

        def beside(place: Remote, mark: bytes) -> None:
            with monkeypatch.context() as alone:
                alone.setattr(Remote, "write", write)
                quicker.append(bucket.history().identity)
            write(place, mark)

        monkeypatch.setattr(Remote, "write", beside)
        assert bucket.history().identity == quicker[0]

    def test_marked_twice(self, kept: Bucket) -> None:
        """Of two changes of the mark at once Delta refuses one: no record is lost unseen."""
        one, other = (Remote(kept.url, kept.options) for _ in range(2))
        mark = one.read()
        assert mark == other.read()
        assert mark is not None
        one.write(mark)
        with pytest.raises(OSError, match="concurrent"):
            other.write(mark)
        assert kept.history().identity.hex().encode() in mark

    def test_two_collectors(self, bucket: Bucket) -> None:
        """Two that begin at once both succeed, and whoever reads sees whole rounds."""
        barrier = PROCESSES.Barrier(2)
        arguments = [(bucket, name, barrier) for name in ("vc-a", "vc-b")]
        running = [PROCESSES.Process(target=append_rounds, args=one) for one in arguments]
        for process in running:
            process.start()
        try:
            seen = {0}
            while any(process.is_alive() for process in running):
                seen.add(whole_rounds(bucket.history()))
        finally:
            for process in running:
                process.join(60)
                process.kill()
        assert [process.exitcode for process in running] == [0, 0]
        assert whole_rounds(bucket.history()) == 2 * ROUNDS
        assert seen <= set(range(2 * ROUNDS + 1))


def append_rounds(bucket: Bucket, name: str, barrier: Any) -> None:  # noqa: ANN401 # of processes # pragma: no cover # in a process of its own
    """Append some rounds of one appliance, beginning with the other one."""
    barrier.wait(60)
    for number in range(ROUNDS):
        rows = [job(name, f"{number}-{place}", "SUCCEEDED") for place in range(JOBS)]
        bucket.history().append(snapshot(number, *rows, names=(name,)))


def whole_rounds(history: History) -> int:
    """See that every round is there whole and once, and count them."""
    told = history.known().jobs
    assert not told.duplicated(["appliance", "job_id"]).any()
    rounds = told["job_id"].str.replace(r"-.*", "", regex=True)
    sizes = told.groupby(["appliance", rounds]).size()
    assert set(sizes) <= {JOBS}
    return len(sizes)


class TestCommands:
    """The command line takes a URL for --history, and the keys from the environment."""

    def test_all(
        self, environment: Bucket, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """One round is collected, judged, reported, looked after, and taken over."""
        url, out = environment.url, tmp_path / "report.html"

        def run(*argv: object, code: int = 0) -> str:
            assert main([*map(str, argv), "--history", url]) == code, capsys.readouterr().err
            said = capsys.readouterr()
            assert SECRET not in said.out + said.err
            return said.out

        scenario = Scenario.steady(appliances=2, jobs=3, seed=1, epoch=datetime.now(UTC))
        with simulated(scenario, tmp_path, clock=None) as fleet:
            told = json.loads(run("collect", "--json", "--fleet", fleet.path))
        assert (told["read"], told["observations_added"]) == (2, 6)
        judged = ("--fleet", fleet.path, "--last", "30d")
        assert run("check", *judged).startswith("OK")
        run("report", *judged, "--redact", "--compare-with", "none", "--out", out)
        assert out.is_file()
        assert json.loads(run("history", "info", "--json"))["Jobs"] == "6"
        assert run("history", "verify") == f"{url} is whole.\n"
        assert run("history", "compact") == f"{url}: done\n"
        assert len(run("history", "export", "--out", tmp_path / "out").splitlines()) == 4
        other = f"s3://{environment.name}/other"
        assert main(["history", "import", "--history", other, url]) == 0
        assert f"{other}: 6 observations, 2 visits and" in capsys.readouterr().out
        assert "0 observations and 0 visits" in run("history", "prune", "--older-than", "36500d")
        assert "3 observations" in run("history", "forget", "--yes", *history_names(url)[:1])

    def test_watch(
        self,
        environment: Bucket,
        odd: OddServer,
        tmp_path: Path,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        """What is watched is kept there."""
        odd.speak_api()
        fleet = tmp_path / "odd.toml"
        fleet.write_text(
            f'[[appliance]]\nname = "vc-odd"\nhost = "{odd.host}"\nuser = "u"\n'
            f'password = {{ env = "VCSA_PASSWORD" }}\nca_bundle = "{odd.ca_bundle.name}"\n'
        )
        assert main(["watch", "--fleet", str(fleet), "--history", environment.url]) == 0
        assert capsys.readouterr().err == "Nothing runs.\n"
        assert len(History(environment.url).polls()) == 1


def history_names(url: str) -> list[str]:
    """Tell which appliances a history knows."""
    return sorted(History(url, create=False).polls()["appliance"].unique())


class TestTrouble:
    """What goes wrong is told on one line, soon, without a secret."""

    def said(
        self, capsys: pytest.CaptureFixture[str], url: str, command: str = "history info"
    ) -> str:
        """Run a command that fails; give its one line."""
        begun = monotonic()
        assert main([*command.split(), "--history", url]) == 1
        assert monotonic() - begun < 30
        out, err = capsys.readouterr()
        assert out == ""
        assert err.endswith(".\n")
        assert err.count("\n") == 1
        assert err[:-1].isprintable()
        assert not re.search("Traceback|<|↳", err)
        assert SECRET not in err
        assert KEY not in err
        return err

    def test_no_bucket(self, environment: Bucket, capsys: pytest.CaptureFixture[str]) -> None:
        """A bucket that is not there, to be read or to be created in."""
        sentence = (
            r"backupkit: The history s3://none/h cannot be used: 404 Not Found: NoSuchBucket: The "
            rf"specified bucket does not exist \({environment.endpoint}/none\)\. Check the URL, "
            r"the keys in the environment, and the network\.\n"
        )
        for command in ("history info", f"history import {Path(__file__).parent}"):
            assert re.fullmatch(sentence, self.said(capsys, "s3://none/h", command))

    def test_wrong_keys(self, wrong_keys: Bucket, capsys: pytest.CaptureFixture[str]) -> None:
        """Keys that the store does not know."""
        said = self.said(capsys, wrong_keys.url)
        assert "cannot be used: 403 Forbidden: InvalidAccessKeyId: The AWS Access Key Id" in said

    def test_keys_that_end(self, wrong_keys: Bucket) -> None:
        """Keys that end while a history is open."""
        switch = f"{wrong_keys.endpoint}/moto-api/reset-auth"
        requests.post(switch, data="inf", timeout=5).raise_for_status()
        history = wrong_keys.history()
        history.append(FIRST)
        requests.post(switch, data="0", timeout=5).raise_for_status()
        with pytest.raises(HistoryError, match=r"cannot be read: 403 Forbidden: .* Check the URL"):
            history.polls()
        with pytest.raises(HistoryError, match=r"no identity yet, and none can be written: 403 F"):
            _ = history.identity

    def test_not_reachable(
        self,
        environment: Bucket,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        """A store that does not answer, tried again a few times."""
        monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
        assert "tcp connect error: Connection refused (os error 111) (http://127.0.0.1:9/" in (
            self.said(capsys, environment.url)
        )

    def test_check(self, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
        """The monitoring plug-in says UNKNOWN."""
        fleet = tmp_path / "fleet.toml"
        fleet.touch()
        assert main(["check", "--fleet", str(fleet), "--history", "ftp2://host/history"]) == 3
        assert capsys.readouterr().out == (
            "UNKNOWN: The history ftp2://host/history cannot be used: Delta Lake opens no ftp2://. "
            "Check the URL, the keys in the environment, and the network.\n"
        )

    @pytest.mark.parametrize(
        ("place", "said"),
        [
            ("s3:/bucket/h", "s3:/bucket/h is neither a folder nor a URL. Write s3://bucket/h, "),
            (Path("s3://bucket/h"), "Write s3://bucket/h, as text."),
            ("file:///tmp/h", "file:///tmp/h is a folder: name it without file://."),
        ],
    )
    def test_no_url(self, place: str | Path, said: str) -> None:
        """What is nearly a URL makes no folder of that name."""
        with pytest.raises(HistoryError, match=re.escape(said)):
            History(place)

    def test_patience(self, bucket: Bucket) -> None:
        """It is half a minute, unless a caller says otherwise."""
        assert Remote(bucket.url, {}).options == {"max_retries": "5", "retry_timeout": "30s"}
        mine = {"max_retries": "0", "retry_timeout": "1s"}
        assert Remote(bucket.url, mine).options == mine

    @pytest.mark.parametrize(
        ("raised", "told"),
        [
            (
                (
                    "Kernel error -> Generic S3 error\n  \x1b[31m↳\x1b[0m Error performing GET "
                    "https://s3.test/b/k?X-Amz-Signature=abc in 4ms, after 2 retries, max_retries"
                    "\n \x1b[31m↳\x1b[0m 2, retry_timeout\n \x1b[31m↳\x1b[0m 5s  - Server returned "
                    "non-2xx status code\n \x1b[31m↳\x1b[0m 403 Forbidden\n \x1b[31m↳\x1b[0m "
                    "<?xml?><Error><Code>SignatureDoesNotMatch</Code><Message>The signature does "
                    "not match.\n</Message><AWSAccessKeyId>AKIA</AWSAccessKeyId><StringToSign>AWS4 "
                    "abc</StringToSign><SignatureProvided>abc</SignatureProvided></Error>\n"
                ),
                (
                    "403 Forbidden: SignatureDoesNotMatch: The signature does not match "
                    "(https://s3.test/b/k)"
                ),
            ),
            (
                (
                    "Error performing list request: Error performing GET REDACTED in 1ms - HTTP "
                    "error: error sending request: client error (Connect): dns error: no name\n"
                ),
                "dns error: no name",
            ),
            (
                (
                    "Error performing PUT http://u:abc@proxy.test/ in 1ms - Server returned "
                    "non-2xx status code: 502 Bad Gateway: <html><b>abc</b></html>"
                ),
                "502 Bad Gateway (http://proxy.test/)",
            ),
            (
                (
                    "Error performing PUT http://169.254.169.254/latest/api/token in 9s - HTTP "
                    "error: error sending request: operation timed out"
                ),
                (
                    "no keys are given, and this machine has no role of its own: operation timed "
                    "out (http://169.254.169.254/latest/api/token)"
                ),
            ),
            ("Kernel error -> Account must be\n specified.", "Account must be specified"),
            ("", "OSError"),
        ],
    )
    def test_reason(self, raised: str, told: str) -> None:
        """The cause is told, and nothing that was signed or signs."""
        assert reason(OSError(raised)) == told
