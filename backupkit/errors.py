"""Exceptions and warnings that backupkit raises.

Exception tree::

    BackupkitError
    ├── SettingsError           wrong or missing entry of fleet.toml, or wrong argument
    ├── CredentialError         source without a password or another secret
    ├── TableError              frame that does not match its table in `backupkit.tables`
    ├── HistoryError            not a history, or it cannot be read or written
    │   └── HistoryLockedError  another run works with it
    ├── OutputError             file that cannot be written
    ├── DeliveryError           message that a channel of alerts does not accept
    │   └── MailError           mail that cannot be sent
    └── ApplianceError          appliance that cannot be read, or sends a wrong response
        ├── UnreachableError    no such name, no route, connection refused, or timeout
        ├── CertificateError    certificate not trusted
        ├── LoginError          login refused, or session ended (401)
        ├── RightsError         user lacks a permission (403)
        ├── NotFoundError       resource does not exist (404)
        ├── BusyError           no free session, or overload (429, 503)
        ├── ServerError         error of the appliance (other 4xx, 5xx)
        ├── PayloadError        response does not follow the API
        ├── PartialError        job list was read, but not all of its jobs
        ├── DeadlineError       collection deadline reached before the appliance was read
        ├── StoppedError        collection stopped before the appliance was read
        └── WorkerError         worker process failed

`BackupkitWarning` reports a problem that does not end the work. This module imports only the
standard library, so every module can import it.
"""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Final, Literal

__all__ = [
    "ADVICE",
    "ApplianceError",
    "BackupkitError",
    "BackupkitWarning",
    "BusyError",
    "CertificateError",
    "CredentialError",
    "DeadlineError",
    "DeliveryError",
    "HistoryError",
    "HistoryLockedError",
    "LoginError",
    "MailError",
    "NotFoundError",
    "OutputError",
    "PartialError",
    "PayloadError",
    "RightsError",
    "ServerError",
    "SettingsError",
    "StoppedError",
    "TableError",
    "UnreachableError",
    "WorkerError",
    "describe_installation",
    "one_line",
]


ADVICE: Final[Mapping[str, str]] = {
    "history_locked": "Try again when it has ended, or wait for it with --wait 10m.",
    "credential": "Correct the source of the secret.",
    "unreachable": "Check that the appliance is on, that its name resolves, and that its HTTPS "
    "port can be reached from the collecting machine.",
    "certificate": "Compare the certificate with the one on the appliance. If it is the same, set "
    "ca_bundle or fingerprint of this appliance in fleet.toml.",
    "login": "Check the user and password of this appliance in fleet.toml, or its token or client. "
    "A user needs its SSO domain, as in administrator@vsphere.local. The account may be locked or "
    "expired.",
    "rights": "Put the user into the SSO group SystemConfiguration.Administrators: "
    "docs/sign-in.md has the steps.",
    "not_found": "Check that the host is a vCenter Server Appliance, and that its "
    "version has the backup API.",
    "busy": "Collect again in a few minutes. If it stays busy, close sessions that were left open.",
    "server": "Collect again later. If the error stays, check the services and logs of the "
    "appliance.",
    "payload": "Collect again: its services may have been starting. If the error stays, check "
    "whether a proxy or a login page responds instead of the appliance.",
    "partial": "Collect again. If the error stays, read the job by hand and report its response.",
    "deadline": "Allow more time (--deadline), or check why the appliance responds slowly.",
    "stopped": "Collect again.",
    "worker": "Check the log of the worker, then collect again.",
}
"""Usual next step for each kind of error."""


class BackupkitError(Exception):
    """Base class of all backupkit exceptions.

    Parameters
    ----------
    problem : str
        What happened; without a full stop if advice follows.
    advice : str, optional
        Next step, as sentences; default: the usual one for this kind of error, if there is one.
    subject : str, optional
        What it happened to, such as an appliance or a file.

    Attributes
    ----------
    problem, advice, subject : str
        The parts of the message; "" if there is no advice or subject.
    text : str
        Problem and advice, for places that show the subject elsewhere.
    detail : str
        The same without the usual advice of the kind, for places that show that one, too.
    kind : str
        Error kind, one word, as in the column ``error`` of polls.
    retryable : bool
        Whether retrying may succeed.

    Examples
    --------
    >>> print(LoginError("login failed (401)", subject="vc-1", advice="Check the password."))
    vc-1: login failed (401). Check the password.
    """

    kind: ClassVar[str] = "error"
    retryable: bool = False

    def __init__(self, problem: str, *, advice: str | None = None, subject: str = "") -> None:
        super().__init__(problem)
        self.problem = problem
        self.advice = ADVICE.get(self.kind, "") if advice is None else advice
        self.subject = subject

    @property
    def text(self) -> str:
        """Return problem and advice, without the subject."""
        return f"{self.problem}. {self.advice}" if self.advice else self.problem

    @property
    def detail(self) -> str:
        """Return the problem, with its advice unless that is the usual one of its kind."""
        return self.problem if self.advice == ADVICE.get(self.kind) else self.text

    def __str__(self) -> str:
        return f"{self.subject}: {self.text}" if self.subject else self.text


class BackupkitWarning(UserWarning):
    """Warning about a problem that does not end the work."""


class SettingsError(BackupkitError):
    """Wrong or missing entry of fleet.toml, or wrong argument."""

    kind = "settings"


class CredentialError(BackupkitError):
    """Source without a password or another secret."""

    kind = "credential"


class TableError(BackupkitError):
    """Frame that does not match its table in `backupkit.tables`."""

    kind = "table"


class HistoryError(BackupkitError):
    """Not a history, or a history that cannot be read or written."""

    kind = "history"


class HistoryLockedError(HistoryError):
    """History that another run works with."""

    kind = "history_locked"


class OutputError(BackupkitError):
    """File that cannot be written."""

    kind = "output"


class DeliveryError(BackupkitError):
    """Message that a channel of alerts does not accept.

    Parameters
    ----------
    problem : str
        What happened.
    advice, subject : str, optional
        As in `BackupkitError`.
    delivery : {"none", "perhaps", "partly"}
        If the message arrived: not at all, perhaps (the connection ended before the response), or
        at some recipients.

    Attributes
    ----------
    delivery
        As the parameter.
    """

    kind = "delivery"

    def __init__(
        self,
        problem: str,
        *,
        advice: str | None = None,
        subject: str = "",
        delivery: Literal["none", "perhaps", "partly"] = "none",
    ) -> None:
        super().__init__(problem, advice=advice, subject=subject)
        self.delivery = delivery


class MailError(DeliveryError):
    """Mail that cannot be sent."""

    kind = "mail"


class ApplianceError(BackupkitError):
    """Appliance that cannot be read, or sends a wrong response.

    Parameters
    ----------
    problem : str
        What happened.
    advice, subject : str, optional
        As in `BackupkitError`.
    status_code : int, optional
        HTTP status of the response, if any.
    retry_after : float, optional
        Delay that the appliance requests before a retry [s].
    retryable : bool, optional
        Whether retrying may succeed; default: the value of the class.
    error_type : str, optional
        Type of the error as the appliance sent it, such as NOT_FOUND.
    messages : sequence of dict, optional
        Stack of the appliance's messages: the first is about the operation, each other one about
        the cause of the one before. Fields: id, default_message, args, localized.
    data : object, optional
        Data of the error as the appliance sent it.

    Attributes
    ----------
    status_code, retry_after, retryable, error_type, messages, data
        As the parameters; None, or an empty tuple, if the response has none.
    """

    kind = "appliance"

    def __init__(  # noqa: PLR0913 # each is an attribute
        self,
        problem: str,
        *,
        advice: str | None = None,
        subject: str = "",
        status_code: int | None = None,
        retry_after: float | None = None,
        retryable: bool | None = None,
        error_type: str | None = None,
        messages: Sequence[Mapping[str, Any]] = (),
        data: object = None,
    ) -> None:
        super().__init__(problem, advice=advice, subject=subject)
        self.status_code = status_code
        self.retry_after = retry_after
        self.error_type = error_type
        self.messages = tuple(messages)
        self.data = data
        if retryable is not None:
            self.retryable = retryable


class UnreachableError(ApplianceError):
    """No such name, no route, connection refused, or timeout.

    Retryable only if the connection broke or a read timed out.
    """

    kind = "unreachable"


class CertificateError(ApplianceError):
    """Certificate of the appliance that is not trusted."""

    kind = "certificate"


class LoginError(ApplianceError):
    """Login refused, or session ended (401)."""

    kind = "login"


class RightsError(ApplianceError):
    """User without the required permission (403)."""

    kind = "rights"


class NotFoundError(ApplianceError):
    """Resource that does not exist on the appliance (404)."""

    kind = "not_found"


class BusyError(ApplianceError):
    """Appliance without a free session, overloaded, or with a busy resource (429, 503)."""

    kind = "busy"
    retryable = True


class ServerError(ApplianceError):
    """Error of the appliance (any other 4xx or 5xx); a refused request is not retryable."""

    kind = "server"
    retryable = True


class PayloadError(ApplianceError):
    """Response that does not follow the API: HTML, truncated JSON, a missing field."""

    kind = "payload"


class PartialError(ApplianceError):
    """Poll that read the job list, and not all of its jobs."""

    kind = "partial"


class DeadlineError(ApplianceError):
    """Collection deadline reached before the appliance was read."""

    kind = "deadline"


class StoppedError(ApplianceError):
    """Collection stopped, for example by Ctrl-C, before the appliance was read."""

    kind = "stopped"


class WorkerError(ApplianceError):
    """Failure of the worker process that polls the appliance."""

    kind = "worker"


def describe_installation(extra: str) -> str:
    """Return the sentence that names the command which installs an extra.

    Double quotes are read by every shell, also by that of Windows.

    Examples
    --------
    >>> describe_installation("xlsx")
    'Install it with: pip install "backupkit[xlsx]"'
    """
    return f'Install it with: pip install "backupkit[{extra}]"'


def one_line(text: str, *, limit: int = 200) -> str:
    r"""Return untrusted text as one printable line of at most `limit` characters.

    Examples
    --------
    >>> one_line("disk\x1b[2J\n full")
    'disk [2J full'
    """
    if len(text) <= limit and text.isprintable() and text == " ".join(text.split()):
        return text
    head = text[: 4 * limit]  # enough to fill the limit
    words = " ".join("".join(c if c.isprintable() else " " for c in head).split())
    return f"{words[:limit]}…" if len(words) > limit or len(head) < len(text) else words
