"""Typed payloads of the API, and the only decoders of an appliance's JSON.

The decoders support both flavours. `/api` sends bare values, and maps as objects. `/rest` wraps
every value in ``{"value": ...}``, and sends maps as lists of pairs. Unknown fields are
ignored. What can be read of an odd record is kept; what is wrong with its state, a time or a
schedule is its ``read_error``. A body that is not of the API raises a `PayloadError`.

References
----------
.. [1] vSphere Automation API, appliance/recovery/backup: Job, Details, Schedules.
"""

from backupkit.wire.decode import (
    DecodeErrors,
    decode_details,
    decode_job,
    decode_job_ids,
    decode_nodes,
    decode_schedules,
    decode_text,
    decode_version,
)
from backupkit.wire.detect import Kind, detect_kind
from backupkit.wire.error_answers import ErrorAnswer, decode_error, encode_error_data
from backupkit.wire.job_files import decode_job_file
from backupkit.wire.lenient import read_job, undo_powershell
from backupkit.wire.literals import map_texts
from backupkit.wire.payloads import (
    Flavour,
    Job,
    Message,
    Node,
    Recurrence,
    Retention,
    Schedule,
    change_texts,
    complete_job,
    job_columns,
)
from backupkit.wire.tokens import decode_access_token, decode_assertion, decode_oauth_error

__all__ = [
    "DecodeErrors",
    "ErrorAnswer",
    "Flavour",
    "Job",
    "Kind",
    "Message",
    "Node",
    "Recurrence",
    "Retention",
    "Schedule",
    "change_texts",
    "complete_job",
    "decode_access_token",
    "decode_assertion",
    "decode_details",
    "decode_error",
    "decode_job",
    "decode_job_file",
    "decode_job_ids",
    "decode_nodes",
    "decode_oauth_error",
    "decode_schedules",
    "decode_text",
    "decode_version",
    "detect_kind",
    "encode_error_data",
    "job_columns",
    "map_texts",
    "read_job",
    "undo_powershell",
]
