"""Jobs of a saved JSON file, whatever kind of response or list of bodies it holds."""

from typing import Any

from msgspec import Raw

from backupkit.errors import PayloadError
from backupkit.wire.decode import DecodeErrors, decode_details, decode_job
from backupkit.wire.detect import Kind, detect_kind, split_list
from backupkit.wire.lenient import JOB_ID, undo_powershell
from backupkit.wire.payloads import Flavour, Job

__all__ = ["decode_job_file"]

_FIELDS = frozenset({"state", "start_time"})


def decode_job_file(body: bytes, *, name: str = "") -> tuple[list[Job], DecodeErrors]:
    """Decode job details, the body of one job, or a list of such bodies.

    Parameters
    ----------
    body : bytes
        JSON of either flavour.
    name : str
        Name of the file without its suffix: the id of a single job without one, if it is an id.

    Returns
    -------
    jobs : list of Job
        What is odd in the state or a time of a job is its ``read_error``.
    errors : dict
        Of entries that are no job, by their place or id.

    Raises
    ------
    PayloadError
        If the file holds no jobs.

    Examples
    --------
    >>> body = b'[{"id": "a", "state": "NONE"}, {"id": 7}]'
    >>> jobs, errors = decode_job_file(body)
    >>> [job.job_id for job in jobs], list(errors)
    (['a'], ['item 2'])
    """
    plain, _ = undo_powershell(body)
    if (items := split_list(plain, _FIELDS)) is not None:
        return _decode_items(items)
    kind, flavour = detect_kind(plain)
    if kind is Kind.JOB:
        return [decode_job(plain, flavour, name if JOB_ID.fullmatch(name) else None)], {}
    if kind is Kind.DETAILS:
        return decode_details(plain, flavour)
    raise PayloadError(
        f"it is {kind.value}, not the jobs themselves",
        advice="Save GET recovery/backup/job/details, or each GET recovery/backup/job/{id}.",
    )


def _decode_items(items: list[Raw]) -> tuple[list[Job], DecodeErrors]:
    jobs: list[Job] = []
    errors: dict[str, Any] = {}
    for number, item in enumerate(items, start=1):
        try:
            jobs.append(decode_job(bytes(item), Flavour.API))
        except PayloadError as error:
            errors[f"item {number}"] = error
    return jobs, errors
