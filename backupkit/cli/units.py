"""Units, tasks and crontab lines that start ``backupkit run`` on a schedule, as texts."""

import plistlib
import re
import shlex
import subprocess
import xml.etree.ElementTree as ET
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

from backupkit.errors import SettingsError, one_line
from backupkit.settings import check_text

__all__ = ["Job", "format_cron", "format_launchd", "format_systemd", "format_windows"]

NAME: Final = "backupkit"
LABEL: Final = "org.backupkit.run"
_MINUTE: Final = timedelta(minutes=1)
_HOUR: Final = timedelta(hours=1)
_DAY: Final = timedelta(days=1)
_TIME: Final = re.compile(r"([01]\d|2[0-3]):([0-5]\d)")
_ACCOUNT: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
_TASK_NAMESPACE: Final = "http://schemas.microsoft.com/windows/2004/02/mit/task"
_REFERENCES: Final = {"Principal": "id", "Actions": "Context"}
_DOCTYPE_LINES: Final = 2  # of a plist, before its root

_HARDENING: Final = """\
NoNewPrivileges=yes
UMask=0077
LockPersonality=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
RestrictNamespaces=yes
RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallFilter=~@privileged @resources
SystemCallErrorNumber=EPERM
"""
_SYSTEM_HARDENING: Final = """\
ProtectSystem=strict
ProtectHome=read-only
ProtectProc=invisible
ProtectClock=yes
ProtectControlGroups=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
PrivateDevices=yes
PrivateTmp=yes
RemoveIPC=yes
CapabilityBoundingSet=
AmbientCapabilities=
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A command, when it starts, and for whom.

    Attributes
    ----------
    command : sequence of str
        Absolute path of the program, and its arguments.
    folder : Path
        Working directory, absolute.
    writable : sequence of Path
        Folders that the command writes to.
    every : timedelta, optional
        Time between two starts; or `at`.
    at : str, optional
        Time of day, local, as ``06:00``.
    account : str, optional
        User that runs the command; None for the user who installs it, without root.

    Raises
    ------
    SettingsError
        If `at` is not a time of day, or `every` is below a minute or above a day.
    """

    command: Sequence[str]
    folder: Path
    writable: Sequence[Path] = ()
    every: timedelta | None = None
    at: str | None = None
    account: str | None = None

    def __post_init__(self) -> None:
        for text in (*self.command, *map(str, (self.folder, *self.writable))):
            check_text(text, where="schedule")  # a line break would begin an entry
        if self.account is not None and not _ACCOUNT.fullmatch(self.account):
            raise SettingsError(f'--account: "{one_line(self.account)}" is not a user name.')
        if (self.every is None) == (self.at is None):
            raise SettingsError("--every and --at exclude each other; use one of them.")
        if self.at is not None and not _TIME.fullmatch(self.at):
            raise SettingsError(f'--at: "{self.at}" is not a time of day; for example: 06:00')
        if self.every is not None and not (
            _MINUTE <= self.every <= _DAY and self.every % _MINUTE == timedelta(0)
        ):
            raise SettingsError("--every: use whole minutes, from 1m to 24h; for example: 15m")

    @property
    def time(self) -> tuple[int, int]:
        """Hour and minute of `at`."""
        hour, minute = (self.at or "00:00").split(":")
        return int(hour), int(minute)


def format_systemd(job: Job, *, install: str) -> dict[str, str]:
    """Return a service and its timer, by file name.

    Parameters
    ----------
    job : Job
        The job; for an account, the units are those of the system, else those of a user.
    install : str
        Command that writes the two files into a folder, whose name is its last word.

    References
    ----------
    .. [1] systemd.exec(5), systemd.service(5), systemd.timer(5) and systemd.time(7).

    Examples
    --------
    >>> job = Job(command=["/usr/bin/true"], folder=Path("/"), at="06:00")
    >>> "OnCalendar=*-*-* 06:00:00" in format_systemd(job, install="")["backupkit.timer"]
    True
    """
    is_system = job.account is not None
    folder = "/etc/systemd/system" if is_system else "~/.config/systemd/user"
    control = "sudo systemctl" if is_system else "systemctl --user"
    sudo = "sudo " if is_system else ""
    files = " ".join(f"{folder}/{NAME}.{kind}" for kind in ("service", "timer"))
    variables = "/etc/backupkit/environment" if is_system else "%h/.config/backupkit/environment"
    comment = _format_comment(
        f"Install: {sudo}{install} {folder}",
        f"         {control} daemon-reload && {control} enable --now {NAME}.timer",
        f"Remove:  {control} disable --now {NAME}.timer && {sudo}rm {files}",
        f"Result:  {control} status {NAME}.service; journalctl "
        f"{'' if is_system else '--user '}-u {NAME}",
    )
    paths = " ".join(_quote_systemd(f"-{path}") for path in job.writable)
    service = [
        f"{comment}[Unit]",
        "Description=Collect and report the backups of vCenter Server Appliances",
        *(["Wants=network-online.target", "After=network-online.target"] if is_system else []),
        "",
        "[Service]",
        "Type=oneshot",
        *([f"User={job.account}"] if is_system else []),
        f"WorkingDirectory={_escape_specifiers(str(job.folder))}",
        "# variables of passwords and tokens, NAME=value, readable by its owner alone",
        f"EnvironmentFile=-{variables}",
        f"ExecStart={' '.join(_quote_systemd(word).replace('$', '$$') for word in job.command)}",
        "# 3: some appliances were not read; 7: another run was at work",
        "SuccessExitStatus=3 7",
        "TimeoutStartSec=1h",
        "Nice=10",
        _HARDENING.rstrip(),
        *([_SYSTEM_HARDENING.rstrip(), f"ReadWritePaths={paths}"] if is_system else []),
    ]
    starts = (
        [f"OnCalendar=*-*-* {job.at}:00", "Persistent=yes"]
        if job.every is None
        else ["OnActiveSec=1min", f"OnUnitActiveSec={job.every // _MINUTE}min"]
    )
    timer = [
        f"{comment}[Unit]",
        "Description=Schedule of backupkit run",
        "",
        "[Timer]",
        *starts,
        "AccuracySec=10s",
        "",
        "[Install]",
        "WantedBy=timers.target",
    ]
    return {
        f"{NAME}.service": "\n".join(service) + "\n",
        f"{NAME}.timer": "\n".join(timer) + "\n",
    }


def format_cron(job: Job) -> str:
    """Return a file for /etc/cron.d, or a line of a user's crontab.

    Raises
    ------
    SettingsError
        If cron has no syntax for the interval.

    References
    ----------
    .. [1] crontab(5): a percent sign is escaped.

    Examples
    --------
    >>> job = Job(command=["/usr/bin/true"], folder=Path("/"), every=timedelta(minutes=15))
    >>> format_cron(job).splitlines()[-1]
    '*/15 * * * * cd / && /usr/bin/true 2>&1 | logger -t backupkit'
    """
    command = f"cd {shlex.quote(str(job.folder))} && {shlex.join(job.command)}"
    account = f"{job.account} " if job.account else ""
    comment = (
        _format_comment(
            f"Install: save this as /etc/cron.d/{NAME}, owned by root",
            f"Remove:  sudo rm /etc/cron.d/{NAME}",
            "Secrets in variables: a line NAME=value above the last one, and chmod 600",
        )
        if job.account
        else _format_comment(
            "Install: crontab -e, and add the last line",
            "Remove:  crontab -e, and remove it",
            "Secrets in variables: a line NAME=value above it",
        )
    )
    line = f"{_format_cron_time(job)} {account}{command} 2>&1 | logger -t {NAME}"
    return f"{comment}{_escape_cron(line)}\n"


def _format_cron_time(job: Job) -> str:
    """Return the five fields of a time."""
    if job.every is None:
        hour, minute = job.time
        return f"{minute} {hour} * * *"
    if job.every < _HOUR and _HOUR % job.every == timedelta(0):
        step = job.every // _MINUTE
        return f"{'*' if step == 1 else f'*/{step}'} * * * *"
    if job.every % _HOUR == timedelta(0) and _DAY % job.every == timedelta(0):
        step = job.every // _HOUR
        return f"0 {'*' if step == 1 else f'*/{step}'} * * *" if job.every < _DAY else "0 0 * * *"
    raise SettingsError(
        "--every: cron has no such interval. Use one that divides an hour or a day, such as 15m, "
        "1h or 6h; or another kind of schedule."
    )


def format_launchd(job: Job) -> str:
    """Return a property list for launchd: a daemon, or an agent of a user.

    References
    ----------
    .. [1] launchd.plist(5)
    """
    folder = "/Library/LaunchDaemons" if job.account else "~/Library/LaunchAgents"
    domain, sudo = ("system", "sudo ") if job.account else ("gui/$UID", "")
    values: dict[str, Any] = {
        "Label": LABEL,
        "ProgramArguments": list(job.command),
        "WorkingDirectory": str(job.folder),
        "StandardOutPath": str(job.folder / f"{NAME}.log"),
        "StandardErrorPath": str(job.folder / f"{NAME}.log"),
        "ProcessType": "Background",
        "Umask": 0o077,
    }
    if job.account:
        values["UserName"] = job.account
    if job.every is None:
        hour, minute = job.time
        values["StartCalendarInterval"] = {"Hour": hour, "Minute": minute}
    else:
        values["StartInterval"] = int(job.every.total_seconds())
    lines = plistlib.dumps(values, sort_keys=False).decode().splitlines(keepends=True)
    comment = _format_xml_comment(
        f"Install: save this as {folder}/{LABEL}.plist, then",
        f"         {sudo}launchctl bootstrap {domain} {folder}/{LABEL}.plist",
        f"Remove:  {sudo}launchctl bootout {domain}/{LABEL}; {sudo}rm {folder}/{LABEL}.plist",
        "Secrets: from files or the keyring, as a plist is no place for them",
    )
    return "".join([*lines[:_DOCTYPE_LINES], comment, *lines[_DOCTYPE_LINES:]])


def format_windows(job: Job) -> str:
    """Return a task for the Windows Task Scheduler, as XML.

    References
    ----------
    .. [1] https://learn.microsoft.com/windows/win32/taskschd/task-scheduler-schema
    """
    program, *arguments = job.command
    start = "00:00" if job.at is None else job.at
    trigger: dict[str, Any] = {"StartBoundary": f"2026-01-01T{start}:00"}
    if job.every is not None:
        minutes = job.every // _MINUTE
        trigger["Repetition"] = {"Interval": f"PT{minutes}M", "Duration": "P1D"}
    trigger["ScheduleByDay"] = {"DaysInterval": "1"}
    principal = (
        {"UserId": "S-1-5-18", "RunLevel": "LeastPrivilege"}  # the account SYSTEM
        if job.account
        else {"LogonType": "InteractiveToken", "RunLevel": "LeastPrivilege"}
    )
    task = ET.Element("Task", version="1.2", xmlns=_TASK_NAMESPACE)
    _add_elements(
        task,
        {
            "RegistrationInfo": {"Description": "Collect and report the backups of vCenter."},
            "Triggers": {"CalendarTrigger": trigger},
            "Principals": {"Principal": principal},
            "Settings": {
                "MultipleInstancesPolicy": "IgnoreNew",
                "DisallowStartIfOnBatteries": "false",
                "StopIfGoingOnBatteries": "false",
                "StartWhenAvailable": "true",
                "ExecutionTimeLimit": "PT1H",
            },
            "Actions": {
                "Exec": {
                    "Command": program,
                    "Arguments": subprocess.list2cmdline(arguments),
                    "WorkingDirectory": str(job.folder),
                }
            },
        },
    )
    for element in task.iter():  # the action runs as the principal of this name
        if element.tag in _REFERENCES:
            element.set(_REFERENCES[element.tag], "Author")
    ET.indent(task)
    comment = _format_xml_comment(
        f"Install: save this as {NAME}.xml, then: schtasks /Create /TN {NAME} /XML {NAME}.xml",
        f"Remove:  schtasks /Delete /TN {NAME} /F",
        *(
            ["It runs as SYSTEM; as another user: add /RU NAME /RP * to the first command"]
            if job.account
            else []
        ),
        "Secrets: from files or the keyring of the account that runs the task",
    )
    return f"{comment}{ET.tostring(task, encoding='unicode')}\n"


def _add_elements(parent: ET.Element, values: Mapping[str, Any]) -> None:
    for name, value in values.items():
        element = ET.SubElement(parent, name)
        if isinstance(value, Mapping):
            _add_elements(element, value)
        else:
            element.text = value


def _format_comment(*lines: str) -> str:
    return "".join(f"# {line}\n" for line in lines)


def _format_xml_comment(*lines: str) -> str:
    return f"<!--\n{''.join(f'  {line}' + chr(10) for line in lines)}-->\n"


def _escape_specifiers(text: str) -> str:
    return text.replace("%", "%%")


def _quote_systemd(word: str) -> str:
    r"""Quote a word of a unit, also its specifiers.

    Examples
    --------
    >>> _quote_systemd("/opt/a b/100 %")
    '"/opt/a b/100 %%"'
    """
    escaped = word.replace("\\", r"\\").replace('"', r"\"")
    return f'"{_escape_specifiers(escaped)}"'


def _escape_cron(line: str) -> str:
    return line.replace("%", r"\%")
