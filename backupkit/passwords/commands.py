"""Commands that print a password, such as those of a password manager."""

import re
import shlex
import subprocess
from collections.abc import Sequence
from typing import Final

from backupkit.errors import CredentialError, SettingsError, one_line
from backupkit.settings import decode_text
from backupkit.texts import mask_user

__all__ = ["TIMEOUT", "join_command", "run_command", "split_command"]

TIMEOUT: Final = 30.0
"""Maximum time of a command [s]."""

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


def run_command(place: str, *, timeout: float = TIMEOUT) -> str:
    r"""Run a command without a shell, and return the first line of its output.

    Parameters
    ----------
    place : str
        Command line as of `join_command`.
    timeout : float
        Maximum time of the command [s].

    Returns
    -------
    str
        First line without surrounding blanks; empty if there is none.

    Raises
    ------
    CredentialError
        If the command cannot be started, fails, takes too long, or prints no text. The message has
        its error output, but never its output.

    Examples
    --------
    >>> run_command("printf 'first\nsecond'")
    'first'
    """
    try:
        completed = subprocess.run(  # noqa: S603 # the command of fleet.toml
            shlex.split(place),
            stdin=subprocess.DEVNULL,  # a scheduled run must not wait for a person
            capture_output=True,
            check=False,
            timeout=timeout,
        )
        output = decode_text(completed.stdout)
    except subprocess.TimeoutExpired:
        raise _error(
            f"the command {place} did not end within {timeout:g} s",
            "Run it by hand: it must not ask anything.",
        ) from None  # it has the output
    except UnicodeDecodeError:
        raise _error(
            f"the command {place} printed bytes that are not UTF-8",
            "Its first line of output must be the password, as text.",
        ) from None  # it has the output
    except (OSError, ValueError) as error:  # ValueError: NUL
        raise _error(
            f"the command {place} cannot be run: "
            f"{getattr(error, 'strerror', None) or 'it is not a command'}",
            "Check that the program is installed, and that its folder is in PATH.",
        ) from error
    lines = output.splitlines()
    if completed.returncode:
        said = _mask(completed.stderr, lines)
        raise _error(
            f"the command {place} failed with exit code {completed.returncode}"
            + (f': "{said}"' if said else ""),
            "Run it by hand, as the user and with the environment of backupkit.",
        )
    return lines[0].strip() if lines else ""


def _mask(stderr: bytes, lines: Sequence[str]) -> str:
    """Return error output as one line, without what the command printed, or named as secret."""
    text = stderr.decode("utf-8", "replace")
    for line in sorted({line.strip() for line in lines}, key=len, reverse=True):
        if len(line) >= _MIN_SECRET:
            text = text.replace(line, MARK)
    return one_line(_ASSIGNED.sub(rf"\g<1>{MARK}", mask_user(text)), limit=_MAX_STDERR)


def _error(problem: str, advice: str) -> CredentialError:
    return CredentialError(problem, advice=advice, subject="password")
