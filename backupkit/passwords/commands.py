"""Commands that print a password, such as those of a password manager."""

import os
import re
import shlex
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from time import monotonic
from typing import Final

from backupkit.errors import CredentialError, SettingsError, StoppedError, one_line
from backupkit.settings import decode_text
from backupkit.texts import mask_user

__all__ = ["TIMEOUT", "join_command", "run_command", "split_command"]

TIMEOUT: Final = 30.0
"""Maximum time of a command [s]."""

_STEP: Final = 0.25
"""Time between two looks whether the work was stopped [s]."""

_END_TIME: Final = 2.0
"""Time that a killed command has to end [s]."""

MARK: Final = "[secret]"

_MAX_STDERR: Final = 200
_MIN_SECRET: Final = 4
"""Length from which a line of the output is masked in the error output [characters]."""

_ASSIGNED: Final = re.compile(r"(?i)((?:password|secret|token|key)\s*[=:]\s*)\S+")


def join_command(arguments: Sequence[str]) -> str:
    """Return a command line, which `split_command` splits into the same arguments.

    Examples
    --------
    >>> join_command(["pass", "show", "vcenter reader"])
    "pass show 'vcenter reader'"
    """
    return shlex.join(arguments)


def split_command(text: str, *, where: str) -> list[str]:
    """Return the program and the arguments of a command line, as a POSIX shell splits it.

    Raises
    ------
    SettingsError
        If a quote is not closed.

    Examples
    --------
    >>> split_command("pass show 'vcenter reader'", where="--password-from")
    ['pass', 'show', 'vcenter reader']
    """
    try:
        return shlex.split(text)
    except ValueError as error:
        raise SettingsError(
            f"{where}: the command has a quote that is not closed, or ends with a backslash."
        ) from error


def run_command(
    place: str,
    *,
    secret: str = "password",  # noqa: S107 # a word
    timeout: float = TIMEOUT,
    stop: threading.Event | None = None,
) -> str:
    r"""Run a command without a shell, and return the first line of its output.

    If it has to be ended, the processes that it started are ended, too.

    Parameters
    ----------
    place : str
        Command line as of `join_command`.
    secret : str
        Word of what it prints, for errors.
    timeout : float
        Maximum time of the command [s].
    stop : Event, optional
        Ends the command once set.

    Returns
    -------
    str
        First line without surrounding blanks; empty if there is none.

    Raises
    ------
    CredentialError
        If the command cannot be started, fails, takes too long, or prints no text. The message has
        its error output, but never its output.
    StoppedError
        If `stop` was set before the command ended.

    Examples
    --------
    >>> run_command("printf 'first\nsecond'")
    'first'
    """
    try:
        code, stdout, stderr = _run(shlex.split(place), timeout, stop or threading.Event())
        output = decode_text(stdout)
    except subprocess.TimeoutExpired:
        raise CredentialError(
            f"the command {place} did not end within {timeout:g} s",
            advice="Run it by hand: it must not ask anything.",
            subject=secret,
        ) from None  # it has the output
    except UnicodeDecodeError:
        raise CredentialError(
            f"the command {place} printed bytes that are not UTF-8",
            advice=f"Its first line of output must be the {secret}, as text.",
            subject=secret,
        ) from None  # it has the output
    except (OSError, ValueError) as error:  # ValueError: NUL
        raise CredentialError(
            f"the command {place} cannot be run: "
            f"{getattr(error, 'strerror', None) or 'it is not a command'}",
            advice="Check that the program is installed, and that its folder is in PATH.",
            subject=secret,
        ) from error
    lines = output.splitlines()
    if code:
        said = _mask(stderr, lines)
        raise CredentialError(
            f"the command {place} failed with exit code {code}" + (f': "{said}"' if said else ""),
            advice="Run it by hand, as the user and with the environment of backupkit.",
            subject=secret,
        )
    return lines[0].strip() if lines else ""


def _run(
    arguments: Sequence[str], timeout: float, stop: threading.Event
) -> tuple[int, bytes, bytes]:
    """Return exit code, output and error output of a command."""
    if stop.is_set():
        raise _stopped(arguments)
    end = monotonic() + timeout
    process = subprocess.Popen(  # noqa: S603 # the command of fleet.toml
        arguments,
        stdin=subprocess.DEVNULL,  # a scheduled run must not wait for a person
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        process_group=0,  # Windows has none
    )
    try:
        while True:
            try:
                step = max(0.0, min(_STEP, end - monotonic()))
                stdout, stderr = process.communicate(timeout=step)
            except subprocess.TimeoutExpired:
                if stop.is_set():
                    raise _stopped(arguments) from None  # it has the output
                if monotonic() >= end:
                    raise
            else:
                return process.returncode, stdout, stderr
    except BaseException:  # Ctrl-C, too
        _end(process)
        raise


def _stopped(arguments: Sequence[str]) -> StoppedError:
    return StoppedError(f"stopped while the command {shlex.join(arguments)} was running")


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a command and the processes that it started, and collect its output."""
    end_tree(process.pid)
    process.kill()
    with suppress(subprocess.TimeoutExpired):  # a process has left the group: its pipe stays open
        process.communicate(timeout=_END_TIME)
        return
    with suppress(subprocess.TimeoutExpired):  # it hangs in the system, where nothing can end it
        process.wait(_END_TIME)
    if sys.platform != "win32":  # pragma: no branch # there, a thread still reads
        for pipe in filter(None, (process.stdout, process.stderr)):
            pipe.close()


def end_group(pid: int) -> None:
    """End the process group of a process that has not been waited for."""
    if sys.platform != "win32":  # pragma: no branch # Windows has no groups
        with suppress(ProcessLookupError, PermissionError):  # ended, or of another user (sudo)
            os.killpg(pid, signal.SIGKILL)


def end_tree_on_windows(pid: int) -> None:
    """End a process and its descendants, as far as Windows knows them.

    References
    ----------
    .. [1] https://learn.microsoft.com/windows-server/administration/windows-commands/taskkill
    """
    # not by PATH, nor from the working directory
    program = Path(os.environ.get("SYSTEMROOT", r"C:\Windows"), "System32", "taskkill.exe")
    with suppress(OSError, subprocess.TimeoutExpired):  # the process itself is killed after this
        subprocess.run(  # noqa: S603 # a program of the system
            [program, "/PID", str(pid), "/T", "/F"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            timeout=_END_TIME,
        )


end_tree: Final = end_tree_on_windows if sys.platform == "win32" else end_group
"""Ends a process and those that it started."""


def _mask(stderr: bytes, lines: Sequence[str]) -> str:
    """Return error output as one line, without what the command printed, or named as secret."""
    text = stderr.decode("utf-8", "replace")
    for line in sorted({line.strip() for line in lines}, key=len, reverse=True):
        if len(line) >= _MIN_SECRET:
            text = text.replace(line, MARK)
    return one_line(_ASSIGNED.sub(rf"\g<1>{MARK}", mask_user(text)), limit=_MAX_STDERR)
