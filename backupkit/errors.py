"""Every error backupkit raises on purpose.

The tree, so that one look tells what to catch::

    BackupkitError
    ├── SettingsError           a wrong or missing entry of fleet.toml, or of an argument
    ├── CredentialError         a password source that gives no password
    ├── TableError              a frame that is not what `backupkit.tables` says
    ├── HistoryError            a history that is none, or cannot be read or written
    ├── OutputError             a file that cannot be written
    ├── MailError               a message that cannot be sent
    └── ApplianceError          one appliance could not be read, or answered wrongly
        ├── UnreachableError    no name, no route, refused, no answer in time
        ├── CertificateError    its certificate is not trusted
        ├── LoginError          it refused user and password (401)
        ├── RightsError         the user may not ask this (403)
        ├── NotFoundError       it does not have what was asked for (404)
        ├── BusyError           it has no free session, or no time now (429, 503)
        ├── ServerError         it failed by itself (other 4xx, 5xx)
        ├── PayloadError        its answer is not what the API promises
        ├── DeadlineError       the round's time was up before it was read
        ├── StoppedError        the round was stopped before it was read
        └── WorkerError         the process that was to ask it failed

and one warning, `BackupkitWarning`, for what a person should know although the work goes on.
Each message is a sentence for a person: what failed, what came instead, what to do next. This
module imports nothing but the standard library, so anyone may import it.
"""

from typing import ClassVar

__all__ = [
    "ApplianceError",
    "BackupkitError",
    "BackupkitWarning",
    "BusyError",
    "CertificateError",
    "CredentialError",
    "DeadlineError",
    "HistoryError",
    "LoginError",
    "MailError",
    "NotFoundError",
    "OutputError",
    "PayloadError",
    "RightsError",
    "ServerError",
    "SettingsError",
    "StoppedError",
    "TableError",
    "UnreachableError",
    "WorkerError",
    "one_line",
]


class BackupkitError(Exception):
    """The root of the tree: catch it to catch everything backupkit raises on purpose.

    Attributes
    ----------
    kind : str
        One word for the class of the fault, as kept in the column ``error`` of polls.
    retryable : bool
        Whether the same call may go well a little later.
    """

    kind: ClassVar[str] = "error"
    retryable: bool = False


class BackupkitWarning(UserWarning):
    """Something a person should know although the work goes on."""


class SettingsError(BackupkitError):
    """A wrong or missing entry of fleet.toml, or a wrong argument."""

    kind = "settings"


class CredentialError(BackupkitError):
    """A password source that gives no password."""

    kind = "credential"


class TableError(BackupkitError):
    """A frame that is not what `backupkit.tables` says."""

    kind = "table"


class HistoryError(BackupkitError):
    """A history that is none, or that cannot be read or written."""

    kind = "history"


class OutputError(BackupkitError):
    """A file that cannot be written."""

    kind = "output"


class MailError(BackupkitError):
    """A message that cannot be sent."""

    kind = "mail"


class ApplianceError(BackupkitError):
    """One appliance could not be read, or answered wrongly.

    Parameters
    ----------
    message : str
        What failed and what to do next.
    status_code : int, optional
        The HTTP status of the answer, if there was one.
    retry_after : float, optional
        How long the appliance asked to be left alone [s].
    retryable : bool, optional
        Whether this very fault may pass in a moment, where the class does not tell.
    """

    kind = "appliance"

    def __init__(
        self,
        message: str,
        *,
        status_code: int | None = None,
        retry_after: float | None = None,
        retryable: bool | None = None,
    ) -> None:
        super().__init__(message)
        self.status_code = status_code
        self.retry_after = retry_after
        if retryable is not None:
            self.retryable = retryable


class UnreachableError(ApplianceError):
    """No such name, no route, a refused connection, or no answer in time.

    Only a connection that broke is worth another try at once; for the others the system has tried
    long enough.
    """

    kind = "unreachable"


class CertificateError(ApplianceError):
    """The appliance's certificate is not trusted."""

    kind = "certificate"


class LoginError(ApplianceError):
    """The appliance refused user and password, or the session ended (401)."""

    kind = "login"


class RightsError(ApplianceError):
    """The user may not ask this (403)."""

    kind = "rights"


class NotFoundError(ApplianceError):
    """The appliance does not have what was asked for (404)."""

    kind = "not_found"


class BusyError(ApplianceError):
    """The appliance has no free session, or no time now (429, 503)."""

    kind = "busy"
    retryable = True


class ServerError(ApplianceError):
    """The appliance failed by itself (any other 4xx or 5xx)."""

    kind = "server"
    retryable = True


class PayloadError(ApplianceError):
    """The answer is not what the API promises: HTML, cut JSON, a missing field."""

    kind = "payload"


class DeadlineError(ApplianceError):
    """The round's time was up before the appliance was read."""

    kind = "deadline"


class StoppedError(ApplianceError):
    """The round was stopped, as by Ctrl-C, before the appliance was read."""

    kind = "stopped"


class WorkerError(ApplianceError):
    """The process that was to ask the appliance failed."""

    kind = "worker"


def one_line(text: str, *, limit: int = 200) -> str:
    r"""Make another's words fit for a sentence.

    Parameters
    ----------
    text : str
        What an appliance said; untrusted.
    limit : int
        The most characters to keep.

    Returns
    -------
    str
        The words on one line, cut, without characters that steer a terminal.

    Examples
    --------
    >>> one_line("disk\x1b[2J\n full")
    'disk [2J full'
    """
    if len(text) <= limit and text.isprintable() and text == " ".join(text.split()):
        return text
    head = text[: 4 * limit]  # the rest is cut anyhow
    words = " ".join("".join(c if c.isprintable() else " " for c in head).split())
    return f"{words[:limit]}…" if len(words) > limit or len(head) < len(text) else words
