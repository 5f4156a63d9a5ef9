"""Result of one check, and the state that checks share."""

import re
import socket
import threading
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final, Literal, TypeAlias

from backupkit.client import ApplianceClient, Limits
from backupkit.errors import (
    BackupkitError,
    CredentialError,
    SettingsError,
)
from backupkit.fleet import Appliance
from backupkit.passwords import PasswordSource

__all__ = ["CheckContext", "Finding", "TypedPasswords", "bracketed", "failure", "span"]

_TWO_PARTS: Final = re.compile(r'((?:"[^"]*"|[^"])*?)(?:\. |; )(.+)', re.DOTALL)

TypedPasswords: TypeAlias = Mapping[tuple[PasswordSource, str], str | CredentialError]


@dataclass(frozen=True, slots=True)
class Finding:
    """Result of one check."""

    result: Literal["ok", "warning", "failed", "skipped"]
    found: str
    advice: str | None = None


@dataclass
class CheckContext:
    """State of the checks of one appliance, for the checks that follow."""

    appliance: Appliance
    typed: TypedPasswords
    limits: Limits
    deadline: float
    stop: threading.Event
    now: Callable[[], datetime]
    stack: ExitStack
    name: str = ""
    port: int = 443
    connection: socket.socket = field(init=False)
    password: str = field(init=False, repr=False)
    client: ApplianceClient = field(init=False)
    skew: timedelta | None = None
    job_ids: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        host = self.appliance.host
        name, colon, port = host.rpartition(":")
        if not colon or host.endswith("]"):
            name, port = host, "443"
        self.name, self.port = name.strip("[]"), int(port)

    @property
    def management(self) -> str:
        """URL of the appliance's management interface."""
        return f"https://{bracketed(self.name)}:5480"


def bracketed(address: str) -> str:
    """Return an address, with brackets if it is IPv6, so that a port can follow."""
    return f"[{address}]" if ":" in address else address


def failure(error: BackupkitError, *, advice: str = "") -> Finding:
    """Return a failed finding: the error message, split into problem and next step."""
    text = str(error).removeprefix("No password: ")  # the name of the check says so
    if matched := _TWO_PARTS.fullmatch(text):
        problem, next_step = matched.groups()
        return Finding("failed", problem, advice or next_step[:1].upper() + next_step[1:])
    is_configuration = isinstance(error, CredentialError | SettingsError)
    return Finding(
        "failed",
        text.removesuffix("."),
        "Correct this appliance's entry in fleet.toml."
        if is_configuration
        else "Try again; if it stays so, look at the appliance itself.",
    )


def span(length: timedelta) -> str:
    """Format a duration with its two largest units."""
    minutes, seconds = divmod(int(abs(length).total_seconds()), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    parts = ((days, "d"), (hours, "h"), (minutes, "min"), (seconds, "s"))
    return " ".join([f"{count} {unit}" for count, unit in parts if count][:2])
