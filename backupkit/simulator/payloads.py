"""JSON objects of the API for jobs and schedules at one moment."""

import hashlib
from datetime import datetime

from backupkit.simulator.model import Job, Message
from backupkit.simulator.scenario import ApplianceSpec

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
    elapsed = (now - begin) / (job.end - begin)
    return elapsed * (1.15 - 0.15 * elapsed)


def job_status(job: Job, now: datetime) -> Object:
    """Return the response to ``job/{id}`` (BackupJobStatus)."""
    ended = now >= job.end
    record: Object = {
        "id": job.id,
        "state": STATES[status(job, now)],
        "messages": [message(source) for source in job.messages] if ended else [],
        "progress": int(job.final_progress * share(job, now)),
        "start_time": instant(job.start),
    }
    if ended:
        record["end_time"] = instant(job.end)
    return record


def job_info(job: Job, now: datetime, spec: ApplianceSpec) -> Object:
    """Return one record of the details (Details.Info); its fields depend on the status."""
    job_state = status(job, now)
    done = share(job, now)
    ended = now >= job.end
    record: Object = {
        "location": job.location,
        "location_user": spec.target.user,
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
        "status": job_state,
        "cancelable": job_state == "RUNNING",
    }
    if job_state in {"RUNNING", "SUCCEEDED", "FAILED"}:
        record["duration"] = int((min(now, job.end) - job.start).total_seconds())
        record["size"] = int(job.size * done)
        record["progress"] = {
            "total": 100,
            "completed": int(job.final_progress * done),
            "message": _text("sample.backup.progress", "Backup progress"),
        }
    if job_state != "PENDING":
        record["start_time"] = instant(job.start)
    if ended:
        record["end_time"] = instant(job.end)
    if job.user is not None:
        record["user"] = job.user
    return record


def schedule(spec: ApplianceSpec, *, enabled: bool) -> Object:
    """Return the only schedule of the appliance (Schedules.Info)."""
    recurrence: Object = {"hour": spec.hour, "minute": spec.minute}
    if spec.days is not None:
        recurrence["days"] = list(spec.days)
    record: Object = {
        "recurrence_info": recurrence,
        "enable": enabled,
        "parts": ["seat", "common"],
        "location": spec.target.base,
        "location_user": spec.target.user,
        "retention_info": {"max_count": MAX_COUNT},
    }
    if spec.release.has_api:
        record["fast_backup"] = False
    return record


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


def version(spec: ApplianceSpec) -> Object:
    """Return release and build, as in ``system/version``."""
    return {
        "version": spec.release.full,
        "product": "VMware vCenter Server Appliance",
        "build": spec.release.build,
        "type": "vCenter Server with an embedded Platform Services Controller",
        "summary": "",
        "releasedate": spec.release.released,
        "install_time": f"{spec.release.released}T09:30:00.000Z",
    }


def challenge(name: str) -> str:
    """Return the authentication challenge of an appliance."""
    realm = hashlib.sha256(name.encode()).hexdigest()[:40]
    sts = f"https://{name}.example.test/sts/STSService/vsphere.local"
    return f'Basic realm="VAPI endpoint",SIGN realm={realm},service="VAPI endpoint",sts="{sts}"'


def _text(identifier: str, text: str) -> Object:
    return message(Message(identifier, text))
