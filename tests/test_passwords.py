"""Passwords that commands print: `PasswordSource` of kind command, and `PasswordCache`."""

import json
import os
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from backupkit import Fleet, PasswordSource, collect
from backupkit.diagnostics import discover, doctor
from backupkit.errors import CredentialError, SettingsError, StoppedError
from backupkit.passwords import PasswordCache, split_command
from backupkit.passwords.commands import end_tree_on_windows, join_command, run_command
from tests.conftest import OddServer
from tests.processes import TIMEOUT, wait_until

SECRET = "k7!Qz-very-secret"


def python(*lines: str) -> PasswordSource:
    """Return the source of a Python program."""
    return PasswordSource("command", join_command([sys.executable, "-c", "\n".join(lines)]))


def counting(path: Path) -> PasswordSource:
    """Return the source of a program that writes a line into a file each time it runs."""
    return python(f"open({str(path)!r}, 'a').write('run\\n')", f"print({SECRET!r})")


def is_running(pid: int) -> bool:
    """Return whether a process is there, and not only waited for."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def has_line(path: Path) -> bool:
    """Return whether a file has a whole line."""
    return path.exists() and path.read_text().endswith("\n")


class TestCommand:
    """`PasswordSource.read` of a command."""

    @pytest.mark.parametrize("text", [SECRET, f"{SECRET}\\n", f"\\ufeff{SECRET}\\r\\nsecond\\n"])
    def test_first_line(self, text: str) -> None:
        """The first line is the password."""
        source = python(
            "import sys", f"sys.stdout.buffer.write({text!r}.encode())".replace("\\\\", "\\")
        )
        assert source.read("u@v") == SECRET

    def test_no_shell(self) -> None:
        """Arguments are passed as they are: there is no shell, and no input."""
        source = PasswordSource("command", join_command(["echo", "$HOME; `id` | cat"]))
        assert source.read("u@v") == "$HOME; `id` | cat"
        assert python("import sys", "print(repr(sys.stdin.read()))").read("u@v") == "''"

    def test_failure(self) -> None:
        """A failed command is an error with its exit code and error output, without the secret."""
        source = python(
            "import sys",
            f"print({SECRET!r})\nprint('ok')",
            f"print('no token: {SECRET}\\n\\x1b[2Jpassword = hunter2', file=sys.stderr)",
            "print('at https://u:pw@vault.test/ ' + 'x' * 1000, file=sys.stderr)",
            "sys.exit(2)",
        )
        with pytest.raises(CredentialError) as caught:
            source.read("u@v")
        problem = caught.value.problem.partition(" failed with ")[2]
        assert problem.startswith(
            'exit code 2: "no token: [secret] [2Jpassword = [secret] at https://***@vault.test/ xxx'
        )
        assert problem.endswith('x…"')
        assert len(problem) < 230
        assert caught.value.advice.startswith("Run it by hand")

    def test_failure_without_a_word(self) -> None:
        """A command that fails in silence is named with its exit code."""
        with pytest.raises(CredentialError, match=r"command false failed with exit code 1\. Run"):
            PasswordSource("command", "false").read("u@v")

    @pytest.mark.parametrize("program", ["/no/such/program", "''", "'a\0b'"])
    def test_not_there(self, program: str) -> None:
        """A program that does not exist is an error with advice."""
        with pytest.raises(CredentialError, match=r"cannot be run: .*Check that the program is"):
            PasswordSource("command", program).read("u@v")

    def test_nothing_printed(self) -> None:
        """An empty first line is an error that names the command."""
        with pytest.raises(CredentialError, match=r"the command echo printed nothing on its first"):
            PasswordSource("command", "echo").read("u@v")

    def test_bytes(self) -> None:
        """Bytes that are no text are refused, and not shown."""
        source = python("import sys", "sys.stdout.buffer.write(b'p\\xe4ss')")
        with pytest.raises(CredentialError, match=r"printed bytes that are not UTF-8") as caught:
            source.read("u@v")
        assert "b'p\\xe4ss'" not in str(caught.value.__context__.__class__)
        assert caught.value.__cause__ is None

    def test_too_slow(self) -> None:
        """A command that does not end in time is ended; its output is not in the error."""
        source = python(
            "import time", f"print({SECRET!r}[::-1][::-1], flush=True)", "time.sleep(60)"
        )
        with pytest.raises(CredentialError, match=r"did not end within 0\.5 s\. Run it by hand"):
            run_command(source.place, timeout=0.5)

    @pytest.mark.parametrize("leaves", [False, True])
    def test_children(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, leaves: bool
    ) -> None:
        """A command that is too slow is ended with its children; one that left holds nothing up."""
        note = tmp_path / "child"
        source = python(
            "import subprocess, sys, time",
            "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'],",
            f"    start_new_session={leaves})",
            f"open({str(note)!r}, 'w').write(f'{{child.pid}}\\n')",
            "time.sleep(600)",
        )
        # the time is over as soon as the child is there
        monkeypatch.setattr("backupkit.passwords.commands.monotonic", lambda: 31.0 * has_line(note))
        with pytest.raises(CredentialError, match="did not end within 30 s"):
            run_command(source.place)
        child = int(note.read_text())
        if leaves:
            os.kill(child, signal.SIGKILL)  # it is still there
        wait_until(lambda: not is_running(child))

    def test_stop(self, tmp_path: Path) -> None:
        """A command ends once the work is stopped, and none is started after that."""
        note, stop = tmp_path / "runs", threading.Event()
        source = python(
            "import os, time",
            f"open({str(note)!r}, 'a').write(f'{{os.getpid()}}\\n')",
            "time.sleep(600)",
        )
        with ThreadPoolExecutor(1) as pool:
            reading = pool.submit(PasswordCache().read, source, "u@v", stop=stop)
            wait_until(lambda: has_line(note))
            stop.set()
            with pytest.raises(StoppedError, match="stopped while the command "):
                reading.result(timeout=TIMEOUT)
        assert not is_running(int(note.read_text()))
        with pytest.raises(StoppedError):
            PasswordCache().read(source, "u@v", stop=stop)
        assert note.read_text().count("\n") == 1

    def test_windows(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """On Windows, taskkill of the system ends the tree; a missing one is no error."""
        program = tmp_path / "System32" / "taskkill.exe"
        monkeypatch.setenv("SYSTEMROOT", str(tmp_path))
        end_tree_on_windows(4711)
        program.parent.mkdir()
        program.write_text(f"#!/bin/sh\necho \"$@\" > '{tmp_path}/given'\n")
        program.chmod(0o700)
        end_tree_on_windows(4711)
        assert (tmp_path / "given").read_text() == "/PID 4711 /T /F\n"

    def test_open_quote(self) -> None:
        """A command line with an open quote is refused when it is parsed."""
        with pytest.raises(SettingsError, match="--password-from: the command has a quote that is"):
            PasswordSource.parse("command:pass show 'x", where="--password-from")
        with pytest.raises(SettingsError, match="this is no source of a secret"):
            PasswordSource.parse("command: ", where="--password-from")


class TestEntry:
    """The command in fleet.toml."""

    def test_list(self, tmp_path: Path) -> None:
        """A list of arguments becomes one command line, and the same list again."""
        path = tmp_path / "fleet.toml"
        path.write_text(
            '[defaults]\nuser = "u@v"\npassword = { command = ["pass", "show", "vc reader"] }\n'
            '[[appliance]]\nname = "vc-1"\nhost = "vc.test"\n'
        )
        [appliance] = Fleet.load(path)
        assert appliance.password == PasswordSource("command", "pass show 'vc reader'")
        assert split_command(appliance.password.place, where="") == ["pass", "show", "vc reader"]
        assert "command: pass show" in Fleet.load(path)._repr_html_()

    @pytest.mark.parametrize(
        ("entry", "problem"),
        [
            ("[]", '"password" must be one of'),
            ('"pass show"', "expected"),
            ('["a\\u0000b"]', "command"),
        ],
    )
    def test_wrong(self, tmp_path: Path, entry: str, problem: str) -> None:
        """An empty list, a text and control characters are refused."""
        path = tmp_path / "fleet.toml"
        path.write_text(
            f'[[appliance]]\nname = "vc-1"\nhost = "vc.test"\nuser = "u@v"\n'
            f"password = {{ command = {entry} }}\n"
        )
        with pytest.raises(SettingsError, match=problem):
            Fleet.load(path)


class TestCache:
    """`PasswordCache`."""

    def test_once(self, tmp_path: Path) -> None:
        """A command runs once for all threads and users; a failed one is not repeated."""
        cache, runs = PasswordCache(), tmp_path / "runs"
        barrier = threading.Barrier(4)

        def read(number: int) -> str:
            barrier.wait()
            return cache.read(counting(runs), f"u{number}@v")

        with ThreadPoolExecutor(4) as pool:
            assert set(pool.map(read, range(4))) == {SECRET}
        assert runs.read_text() == "run\n"
        assert SECRET not in repr(cache)

    def test_failed_once(self, tmp_path: Path) -> None:
        """A failed command is not run again for the next appliance."""
        runs = tmp_path / "runs"
        source = python(f"open({str(runs)!r}, 'a').write('run\\n')", "raise SystemExit(1)")
        cache = PasswordCache()
        for _ in range(3):
            with pytest.raises(CredentialError, match="failed with exit code 1"):
                cache.read(source, "u@v")
        assert runs.read_text() == "run\n"

    def test_age(self, tmp_path: Path) -> None:
        """After five minutes a command runs again, as what it printed may have expired."""
        now, runs = [1000.0], tmp_path / "runs"
        cache = PasswordCache(clock=lambda: now[0])
        for moment, expected in ((1000.0, 1), (1299.0, 1), (1300.0, 2), (1301.0, 2)):
            now[0] = moment
            cache.read(counting(runs), "u@v")
            assert len(runs.read_text().splitlines()) == expected

    def test_prompt_of_each_user(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A password is typed once per user; a variable is read each time."""
        questions: list[str] = []

        def answer(question: str) -> str:
            questions.append(question)
            return "typed"

        monkeypatch.setattr("getpass.getpass", answer)
        cache, prompt = PasswordCache(), PasswordSource("prompt", "the fleet")
        for user in ("a@v", "b@v", "a@v"):
            assert cache.read(prompt, user) == "typed"
        assert len(questions) == 2
        for value in ("first", "second"):
            monkeypatch.setenv("VCSA_PASSWORD", value)
            assert cache.read(PasswordSource("env", "VCSA_PASSWORD"), "u@v") == value


class TestFleets:
    """Commands that read a whole fleet."""

    def test_interrupt(self, tmp_path: Path) -> None:
        """A collection that is stopped ends the command that it waits for, and says so."""
        note, fleet = tmp_path / "runs", tmp_path / "fleet.toml"
        program = tmp_path / "program.py"
        program.write_text(
            f"import os, time\nopen({str(note)!r}, 'w').write(f'{{os.getpid()}}\\n')\n"
            "time.sleep(600)\n"
        )
        fleet.write_text(
            '[[appliance]]\nname = "vc-1"\nhost = "vc.test"\nuser = "u@v"\n'
            f"password = {{ command = {json.dumps([sys.executable, str(program)])} }}\n"
        )
        words = [sys.executable, "-m", "backupkit", "collect", "--fleet", str(fleet)]
        words += ["--history", str(tmp_path / "history.db")]
        with subprocess.Popen(words, stderr=subprocess.PIPE, text=True) as process:
            try:
                wait_until(lambda: has_line(note))
                process.terminate()
                _, err = process.communicate(timeout=TIMEOUT)
            finally:
                process.kill()
        assert process.returncode == 130
        assert "The collection was stopped: 0 of 1 appliances were read by then." in err
        assert "vc-1: stopped while the command " in err
        assert not is_running(int(note.read_text()))

    def test_one_run(self, odd: OddServer, tmp_path: Path) -> None:
        """collect, doctor and discover run a command once for all appliances."""
        odd.serve_api()
        runs = tmp_path / "runs"
        fleet = Fleet(
            replace(odd.appliance(f"vc-{number}"), password=counting(runs)) for number in range(3)
        )
        assert collect(fleet).polls["ok"].all()
        assert runs.read_text() == "run\n"
        collect(fleet)
        assert runs.read_text() == "run\n" * 2
        checks = doctor(fleet)
        found = checks[checks["check"] == "secret"]["found"].to_list()
        assert len(found) == 3
        assert all(text.startswith(f"password printed by {sys.executable}") for text in found)
        assert runs.read_text() == "run\n" * 3
        discover(fleet)
        assert runs.read_text() == "run\n" * 4
