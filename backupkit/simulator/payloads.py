"""JSON objects of the API for jobs and schedules at one moment."""

import hashlib
from datetime import datetime

from backupkit.simulator.model import Job, Message
from backupkit.simulator.scenario import Plan
from backupkit.simulator.sessions import Session

Object = dict[str, object]

STATES = {
    "PENDING": "NONE",
    "BLOCKED": "NONE",
    "RUNNING": "INPROGRESS",
    "SUCCEEDED": "SUCCEEDED",
    "FAILED": "FAILED",
}
PARTS = {  # id: name, megabytes, optional
    "common": ("Inventory and configuration", 480, False),
    "seat": ("Stats, Events, and Tasks", 1210, True),
}
MAX_COUNT = 14


def instant(moment: datetime) -> str:
    """Format a time as the API does.

    Examples
    --------
    >>> from datetime import UTC
    >>> instant(datetime(2026, 1, 3, 8, 56, 30, 412900, tzinfo=UTC))
    '2026-01-03T08:56:30.412Z'
    """
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03d}Z"


def message(source: Message) -> Object:
    """Return a localizable message, as in jobs and errors."""
    return {
        "id": source.id,
        "default_message": source.default_message,
        "args": list(source.args),
    }


def status(job: Job, now: datetime) -> str:
    """Return the status in the details: PENDING, BLOCKED, RUNNING, SUCCEEDED or FAILED."""
    if now >= job.end:
        return "SUCCEEDED" if job.ok else "FAILED"
    if now < job.start + job.queued:
        return "PENDING"
    return "BLOCKED" if now < job.start + job.queued + job.blocked else "RUNNING"


def share(job: Job, now: datetime) -> float:
    """Return the share of its work that a job has done, 0 to 1; a little faster at first."""
    begin = job.start + job.queued + job.blocked
    if now >= job.end:
        return 1.0
    if now <= begin:
        return 0.0
    passed = (now - begin) / (job.end - begin)
    return passed * (1.15 - 0.15 * passed)


def job_status(job: Job, now: datetime) -> Object:
    """Return the response to ``job/{id}`` (BackupJobStatus)."""
    ended = now >= job.end
    answer: Object = {
        "id": job.id,
        "state": STATES[status(job, now)],
        "messages": [message(source) for source in job.messages] if ended else [],
        "progress": int(job.reached * share(job, now)),
        "start_time": instant(job.start),
    }
    if ended:
        answer["end_time"] = instant(job.end)
    return answer


def job_info(job: Job, now: datetime, plan: Plan) -> Object:
    """Return one record of the details (Details.Info); its fields depend on the status."""
    word = status(job, now)
    done = share(job, now)
    ended = now >= job.end
    answer: Object = {
        "location": job.location,
        "location_user": plan.target.user,
        "type": job.kind,
        "messages": [message(source) for source in job.messages] if ended else [],
        "build": {
            "version_name": job.release.full,
            "version": job.release.full,
            "build_number": job.release.build,
        },
        "description": _text("sample.backup.description", "Backup of the appliance"),
        "service": "com.vmware.appliance.recovery.backup.job",
        "operation": "create",
        "status": word,
        "cancelable": word == "RUNNING",
    }
    if word in {"RUNNING", "SUCCEEDED", "FAILED"}:
        answer["duration"] = int((min(now, job.end) - job.start).total_seconds())
        answer["size"] = int(job.size * done)
        answer["progress"] = {
            "total": 100,
            "completed": int(job.reached * done),
            "message": _text("sample.backup.progress", "Backup progress"),
        }
    if word != "PENDING":
        answer["start_time"] = instant(job.start)
    if ended:
        answer["end_time"] = instant(job.end)
    if job.user is not None:
        answer["user"] = job.user
    return answer


def schedule(plan: Plan, *, enabled: bool) -> Object:
    """Return the only schedule of the appliance (Schedules.Info)."""
    recurrence: Object = {"hour": plan.hour, "minute": plan.minute}
    if plan.days is not None:
        recurrence["days"] = list(plan.days)
    answer: Object = {
        "recurrence_info": recurrence,
        "enable": enabled,
        "parts": ["seat", "common"],
        "location": plan.target.base,
        "location_user": plan.target.user,
        "retention_info": {"max_count": MAX_COUNT},
    }
    if plan.release.has_api:
        answer["fast_backup"] = False
    return answer


def parts() -> list[Object]:
    """Return the parts that can be backed up."""
    return [
        {
            "id": part,
            "name": _text(f"sample.backup.part.{part}.name", name),
            "description": _text(f"sample.backup.part.{part}.description", f"{name} of vCenter"),
            "selected_by_default": True,
            "optional": optional,
        }
        for part, (name, _, optional) in PARTS.items()
    ]


def version(plan: Plan) -> Object:
    """Return release and build, as in ``system/version``."""
    return {
        "version": plan.release.full,
        "product": "VMware vCenter Server Appliance",
        "build": plan.release.build,
        "type": "vCenter Server with an embedded Platform Services Controller",
        "summary": "",
        "releasedate": plan.release.released,
        "install_time": f"{plan.release.released}T09:30:00.000Z",
    }


def who(session: Session) -> Object:
    """Return user and times of a session."""
    return {
        "user": session.user,
        "created_time": instant(session.created),
        "last_accessed_time": instant(session.used),
    }


def challenge(name: str) -> str:
    """Return the authentication challenge of an appliance."""
    realm = hashlib.sha256(name.encode()).hexdigest()[:40]
    sts = f"https://{name}.example.test/sts/STSService/vsphere.local"
    return f'Basic realm="VAPI endpoint",SIGN realm={realm},service="VAPI endpoint",sts="{sts}"'


def _text(identifier: str, words: str) -> Object:
    return message(Message(identifier, words))
