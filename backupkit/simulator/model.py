"""Data types of the simulator: traits, releases, backup targets, failure causes, jobs."""

import dataclasses
import enum
import random
from datetime import datetime, timedelta


class Trait(enum.StrEnum):
    """Special behaviour of a simulated appliance; most traits can be combined."""

    HEALTHY = "healthy"
    FLAKY = "flaky"  # fails sometimes, with a manual retry on the same day
    LAST_THREE_FAILED = "last three failed"  # the last three nights failed, and all later ones fail
    MISSED_NIGHT = "missed night"  # two nights without any job
    OVERRUNNING = "overrunning"  # jobs take longer and longer, into the day
    GROWING = "growing"  # size and duration grow steadily
    SCHEDULE_DISABLED = "schedule disabled"  # for some weeks
    NEW = "new"  # the first job ran last week
    WRONG_TIME_ZONE = "wrong time zone"  # its zone is not the one in fleet.toml
    CLOCK_SKEW = "clock skew"  # its clock is ahead by minutes
    REPLACED = "replaced"  # reachable, with a schedule, but without jobs
    ALWAYS_FAILING = "always failing"  # with one message, from the first job on
    UNREACHABLE = "unreachable"  # nothing listens on its port
    RUNNING = "running"  # a job runs at the epoch


@dataclasses.dataclass(frozen=True, slots=True)
class Release:
    """Release of the appliance, as named by its version resource and its backups."""

    number: tuple[int, ...]
    full: str
    build: str
    released: str

    @property
    def has_api(self) -> bool:
        """Return whether `/api` exists besides `/rest`."""
        return self.number >= (7, 0, 2)

    @property
    def has_error_type(self) -> bool:
        """Return whether errors contain ``error_type`` and ``challenge``."""
        return self.number >= (7, 0)


RELEASES = {
    version: Release(tuple(int(part) for part in version.split(".")), full, build, released)
    for version, full, build, released in (
        ("6.5", "6.5.0.37000", "18499837", "2021-10-07"),
        ("6.7", "6.7.0.52000", "19300125", "2022-02-08"),
        ("7.0.1", "7.0.1.00300", "17491101", "2021-01-12"),
        ("7.0.2", "7.0.2.00500", "18455184", "2021-08-24"),
        ("7.0.3", "7.0.3.02100", "24201990", "2024-09-17"),
        ("8.0.1", "8.0.1.00100", "21815093", "2023-05-18"),
        ("8.0.3", "8.0.3.00400", "24322831", "2024-10-21"),
        ("9.0.0", "9.0.0.0100", "24755230", "2025-06-17"),
    )
}


@dataclasses.dataclass(frozen=True, slots=True)
class Target:
    """File server that receives backups."""

    base: str  # URI as in a schedule, possibly with an empty port
    user: str

    @property
    def host(self) -> str:
        """Name or address of the server."""
        return self.base.partition("://")[2].partition("/")[0].rstrip(":")

    def folder(self, path: str) -> str:
        """Return the URI of a folder below the base, as in a job's details."""
        scheme, _, rest = self.base.partition("://")
        host, _, base = rest.partition("/")
        return f"{scheme}://{host.rstrip(':')}/{base}/{path}"


TARGETS = (
    Target("sftp://10.0.0.250:/srv/backups", "root"),
    Target("smb://10.30.20.40/vcenter-backup", "svc-backup"),
    Target("nfs://10.10.10.10:/nfs/vcenterbackup", "nobody"),
    Target("ftp://ftp.example.test/backup", "vcenter"),
)
OLD_TARGET = TARGETS[-1]  # before 6.7 U2 there was neither SFTP nor SMB nor NFS


@dataclasses.dataclass(frozen=True, slots=True)
class Message:
    """Localizable message of the appliance."""

    id: str
    default_message: str
    args: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True, slots=True)
class Cause:
    """Cause of failed backups: the template of their message.

    The texts come from real appliances. The real message ids are unknown, hence ``sample.``.
    """

    id: str
    text: str
    fields: tuple[str, ...] = ()

    def message(self, rng: random.Random, host: str) -> Message:
        """Return the message of one failure; its variable parts are in text and ``args``."""
        values = {
            "component": rng.choice(("wcp", "vum", "vtsdb")),
            "free": str(rng.randrange(200, 4000)),
            "host": host,
            "need": str(rng.randrange(5000, 20000)),
            "path": f"/storage/dblog/vpostgres/backup-{rng.getrandbits(32):08x}/seat.tar.gz",
        }
        args = tuple(values[field] for field in self.fields)
        return Message(self.id, self.text.format(*args), args)


CAUSES = (
    Cause(
        "sample.backup.exception",
        "BackupManager encountered an exception. Please check logs for details.",
    ),
    Cause("sample.backup.component", "Error during component {0} backup", ("component",)),
    Cause(
        "sample.backup.upload",
        "Failed to upload {0} to {1}: curl error 79",
        ("path", "host"),
    ),
    Cause("sample.backup.broken_pipe", "Connection to {0} lost: broken pipe", ("host",)),
    Cause(
        "sample.backup.snapshot",
        "BackupManager encountered an exception. Exception: Full backup not allowed during VM "
        "snapshot",
    ),
    Cause(
        "sample.backup.db_health",
        "Db health is UNHEALTHY, Backup Failed.Disable health check to take backup in current "
        "state.",
    ),
    Cause("sample.backup.wal", "Failed to dispatch WAL directory structure."),
    Cause(
        "sample.backup.space",
        "Not enough space on {0}: {1} MB needed, {2} MB free.",
        ("host", "need", "free"),
    ),
)
CAUSE_WEIGHTS = (8, 4, 4, 3, 2, 2, 1, 1)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """Backup job from start to end; `payloads` derives its state at one moment."""

    id: str
    kind: str  # SCHEDULED or MANUAL
    start: datetime  # on the appliance's clock, UTC
    end: datetime
    ok: bool
    size: int  # [bytes] transferred at the end
    final_progress: int  # [%] of progress at the end
    location: str
    release: Release  # release when the job started
    messages: tuple[Message, ...] = ()
    user: str | None = None
    queued: timedelta = timedelta(seconds=2)  # time in PENDING
    blocked: timedelta = timedelta()  # then time in BLOCKED


def seeded_rng(seed: str) -> random.Random:
    """Return a random number generator that depends only on a seed."""
    return random.Random(seed)  # noqa: S311  # test data, no secret


def job_id(start: datetime, build: str) -> str:
    """Return a job id in the appliance's format.

    Examples
    --------
    >>> from datetime import UTC
    >>> job_id(datetime(2026, 1, 3, 8, 56, 30, 412000, tzinfo=UTC), "24322831")
    '20260103-085630-24322831'
    """
    return f"{start:%Y%m%d-%H%M%S}-{build}"
