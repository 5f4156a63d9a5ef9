"""Failed jobs grouped by the signature of their messages."""

import re
from collections.abc import Iterable
from typing import Any, Final

import pandas as pd

from backupkit.analysis.arrays import from_codes, to_instant, to_utc_column
from backupkit.analysis.causes import cause_of
from backupkit.analysis.jobs import job_times
from backupkit.analysis.target_load import encode_targets
from backupkit.tables import FAILURE_COUNTS, FAILURES
from backupkit.tables.contract import TEXTS

__all__ = [
    "NO_MESSAGE",
    "failure_counts",
    "failure_signatures",
    "failures",
    "message_of",
    "select_ended_jobs",
    "signature_of",
]

NO_MESSAGE: Final = "(no message)"
"""The signature of a failed job without a message."""

_MAX_TEXT_LENGTH: Final = 4_000  # characters of a message that are read
_MAX_SIGNATURE_LENGTH: Final = 300  # characters of a signature
_MAX_ARGS: Final = 10  # args that are replaced
_MAX_ARG_LENGTH: Final = 60  # a longer arg is a sentence and is kept
_MAX_VALUES: Final = 50  # names, builds and targets of one signature

_HOST_NAME: Final = (  # at least two dots, and not the name of a Java class or a message
    r"(?<![\w.@-])(?!(?:com|org|net|java|javax|python|vmware)\.)"
    r"[a-z0-9-]{1,63}(?:\.[a-z0-9-]{1,63}){1,8}\.[a-z]{2,24}(?::\d{1,5})?(?![\w-])"
)

# Each pattern is linear: no nested repetition, bounded lengths where a prefix repeats.
_PLACEHOLDERS: Final = tuple(
    (re.compile(pattern, re.IGNORECASE), placeholder)
    for pattern, placeholder in (
        (r"(?<![\w+.-])[a-z][a-z0-9+.-]{1,15}://[^\s'\"<>,;)]+", "<uri>"),
        (r"\b[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}\b", "<id>"),
        (r"\b\d{4}-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d)?(?:\.\d{1,9})?(?:Z|[+-]\d\d:?\d\d)?", "<time>"),
        (r"\b\d{8}-\d{6}(?:-\d{1,12})?\b", "<id>"),
        (r"(?<![\w.+-])[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){0,8}", "<user>"),
        (r"(?<![\w/<>\\])[a-z]:\\[^\s'\",;]+|\\\\[^\s'\",;]+", "<path>"),
        (r"(?<![\w/<>])/[\w.@%+~:/-]{2,}(?<![.:])", "<path>"),
        (r"(?<![\w.])\d{1,3}(?:\.\d{1,3}){3}(?::\d{1,5})?(?![\w.]\d)", "<host>"),
        (r"(?<![\w:])(?:[0-9a-f]{1,4}:){3,7}[0-9a-f]{1,4}(?![\w:])", "<host>"),
        (_HOST_NAME, "<host>"),
        (r"\b0x[0-9a-f]+\b|\b(?=[0-9a-f]*\d)(?=[0-9a-f]*[a-f])[0-9a-f]{8,64}\b", "<id>"),
        (r"(?<!\w)'[^'<>]{1,120}'(?!\w)", "'<name>'"),
        (r'(?<!\w)"[^"<>]{1,120}"(?!\w)', '"<name>"'),
        (r"(?<![\w<])[+-]?\d+(?:[.,:]\d+)*", "<n>"),
    )
)
_PLACEHOLDER_NAMES: Final = frozenset(placeholder for _, placeholder in _PLACEHOLDERS)
_FAILURE_WORDS: Final = re.compile(r"error|fail|exception|unhealthy|denied|refused", re.IGNORECASE)
_WHITESPACE: Final = re.compile(r"[\s\x00-\x1f\x7f-\x9f]+")


def signature_of(text: str, args: Iterable[str] = ()) -> str:
    """Replace the parts of a message that differ from job to job.

    Parameters
    ----------
    text : str
        The message; only its first 4,000 characters are read.
    args : iterable of str
        The values that the appliance inserted into the text.

    Returns
    -------
    str
        The text with ``<uri>``, ``<path>``, ``<host>``, ``<user>``, ``<id>``, ``<time>``,
        ``<name>``, ``<n>`` and ``<arg>`` in place of numbers and names, at most 300 characters.

    Examples
    --------
    >>> signature_of("Error 28 writing /backup/vc-1/db.gz on sftp://nas.example.com:22/vc")
    'Error <n> writing <path> on <uri>'
    >>> signature_of("Component wcp failed after 12.5 s.", args=["wcp"])
    'Component <arg> failed after <n> s.'
    """
    plain = _WHITESPACE.sub(" ", text[:_MAX_TEXT_LENGTH]).strip()
    for arg in sorted(set(_list_short_args(args)), key=lambda name: (-len(name), name)):
        replaced = _insert_placeholders(arg)
        placeholder = replaced if replaced in _PLACEHOLDER_NAMES else "<arg>"
        plain = re.sub(rf"(?<![\w<]){re.escape(arg)}(?![\w>])", placeholder, plain)
    return _insert_placeholders(plain)[:_MAX_SIGNATURE_LENGTH] or NO_MESSAGE


def _list_short_args(args: Iterable[str]) -> list[str]:
    """Return the args that are names, not sentences or single letters."""
    given = [arg.strip() for arg, _ in zip(args, range(_MAX_ARGS), strict=False)]
    return [arg for arg in given if 1 < len(arg) <= _MAX_ARG_LENGTH and arg.count(" ") <= 1]


def _insert_placeholders(text: str) -> str:
    for pattern, placeholder in _PLACEHOLDERS:
        text = pattern.sub(placeholder, text)
    return text


def message_of(messages: object) -> dict[str, Any] | None:
    """Return the message that explains why a job failed.

    Parameters
    ----------
    messages : list of dict or NA
        One cell of the column ``messages``.

    Returns
    -------
    dict or None
        The message: id, default_message, args, localized; None if all are empty.

    Notes
    -----
    Messages have no severity, so the first one that mentions an error or a failure is returned,
    else the first one.

    Examples
    --------
    >>> note = {"id": "a", "default_message": "Started", "args": [], "localized": None}
    >>> why = {"id": "b", "default_message": "Backup failed", "args": [], "localized": None}
    >>> message_of([note, why])["id"]
    'b'
    """
    if not isinstance(messages, list):
        return None
    candidates: list[dict[str, Any]] = [
        item for item in messages if item["default_message"] or item["localized"] or item["id"]
    ]
    return next(
        (item for item in candidates if _mentions_failure(item)),
        candidates[0] if candidates else None,
    )


def _mentions_failure(message: dict[str, Any]) -> bool:
    text = message["default_message"] or message["localized"] or message["id"]
    return _FAILURE_WORDS.search(text[:_MAX_TEXT_LENGTH]) is not None


def failure_signatures(jobs: pd.DataFrame) -> pd.DataFrame:
    """Return the signature of each failed job.

    Parameters
    ----------
    jobs : DataFrame
        Of `backupkit.tables.JOBS`.

    Returns
    -------
    DataFrame
        signature, message_id and text (complete, as the appliance shows it), on the index of
        `jobs`; missing unless the job failed.

    Notes
    -----
    Signatures are made of the untranslated text, so that appliances with different languages are
    grouped together. Each distinct text is processed once.
    """
    failed = jobs["outcome"].eq("failure").to_numpy()
    cache: dict[tuple[str, tuple[str, ...]], str] = {}
    rows = []
    for messages in jobs["messages"].array[failed]:
        message = message_of(messages)
        if message is None:
            rows.append((NO_MESSAGE, None, None))
            continue
        text = message["localized"] or message["default_message"] or message["id"]
        untranslated = message["default_message"] or text
        args = tuple(arg for arg in (message["args"] or [])[:_MAX_ARGS] if arg)
        key = (untranslated[:_MAX_TEXT_LENGTH], args)
        if key not in cache:
            cache[key] = signature_of(*key)
        rows.append((cache[key], message["id"] or None, text))
    columns = ["signature", "message_id", "text"]
    frame = pd.DataFrame(rows, columns=columns, index=jobs.index[failed], dtype="str")
    return frame.reindex(jobs.index)


def select_ended_jobs(jobs: pd.DataFrame, start: pd.Timestamp, end: pd.Timestamp) -> pd.DataFrame:
    """Return the jobs that finished in the period, with their end."""
    _, ended_at = job_times(jobs)
    inside = (ended_at >= to_instant(start)) & (ended_at < to_instant(end))
    kept = jobs.loc[inside, ["appliance", "outcome", "build", "location"]]
    return kept.assign(ended_at=to_utc_column(ended_at[inside]).set_axis(kept.index))


def failure_counts(
    jobs: pd.DataFrame, signatures: pd.DataFrame, *, start: pd.Timestamp, end: pd.Timestamp
) -> pd.DataFrame:
    """Count the failed jobs of a period by signature, appliance and day.

    Parameters
    ----------
    jobs : DataFrame
        Of `backupkit.tables.JOBS`, each job once.
    signatures : DataFrame
        Result of `failure_signatures` for at least these jobs.
    start, end : Timestamp
        The period, half-open; a job counts by its end.

    Returns
    -------
    DataFrame
        Of `backupkit.tables.FAILURE_COUNTS`, sorted by signature, appliance and day [UTC midnight].
        Days without a failure have no row.

    Examples
    --------
    >>> from backupkit.analysis import failure_signatures
    >>> from backupkit.tables import JOBS
    >>> times = [pd.Timestamp(f"2026-11-02T{hour:02}:00Z") for hour in (1, 2)]
    >>> jobs = JOBS.frame({"appliance": ["a", "b"], "outcome": ["failure"] * 2, "end_time": times})
    >>> day = pd.Timestamp("2026-11-02", tz="UTC")
    >>> signatures = failure_signatures(jobs)
    >>> failure_counts(jobs, signatures, start=day, end=day + pd.Timedelta(days=1))[
    ...     "jobs"
    ... ].to_list()
    [1, 1]
    """
    ended = select_ended_jobs(jobs, start, end)
    failed = ended[ended["outcome"] == "failure"].join(signatures["signature"])
    failed = failed.assign(day=failed["ended_at"].dt.floor("D"))
    by = failed.groupby(["signature", "appliance", "day"], sort=True)
    return FAILURE_COUNTS.conform(by.size().rename("jobs").reset_index())


def failures(
    jobs: pd.DataFrame, signatures: pd.DataFrame, *, start: pd.Timestamp, end: pd.Timestamp
) -> pd.DataFrame:
    """Group the failed jobs of a period by their signature.

    Parameters
    ----------
    jobs : DataFrame
        Of `backupkit.tables.JOBS`, each job once.
    signatures : DataFrame
        Result of `failure_signatures` for at least these jobs.
    start, end : Timestamp
        The period, half-open; a job counts by its end.

    Returns
    -------
    DataFrame
        Of `backupkit.tables.FAILURES`, the most frequent first. At most 50 names, builds and
        targets are listed for each.
    """
    ended = select_ended_jobs(jobs, start, end)
    failed = ended[ended["outcome"] == "failure"].join(signatures)
    failed["target"] = from_codes(*encode_targets(failed["location"])).set_axis(failed.index)
    ordered = failed.sort_values("ended_at", kind="stable")
    by = ordered.groupby("signature", sort=True)
    groups = by.agg(
        jobs=("ended_at", "size"),
        appliances=("appliance", "nunique"),
        ids=("message_id", lambda ids: ids.nunique(dropna=False)),
        message_id=("message_id", "last"),
        first_seen=("ended_at", "min"),
        last_seen=("ended_at", "max"),
    )
    newest = ordered.drop_duplicates("signature", keep="last").set_index("signature")
    groups["text"] = newest["text"]
    groups["message_id"] = groups["message_id"].where(groups["ids"] == 1)
    groups["share"] = groups["jobs"] / len(failed)
    for name, column in (("names", "appliance"), ("builds", "build"), ("targets", "target")):
        groups[name] = _list_most_frequent_values(ordered, column, groups.index)
    causes = [
        cause_of(None if pd.isna(text) else text, None if pd.isna(message_id) else message_id)
        for text, message_id in groups[["text", "message_id"]].itertuples(index=False)
    ]
    for name in ("cause", "next_step", "source"):
        groups[name] = [None if cause is None else getattr(cause, name) for cause in causes]
    ranked = groups.reset_index().sort_values(
        ["jobs", "last_seen", "signature"], ascending=[False, False, True], kind="stable"
    )
    return FAILURES.conform(ranked)


def _list_most_frequent_values(
    failed: pd.DataFrame, column: str, signatures: pd.Index
) -> pd.Series:
    """Return the values of a column for each signature, the most frequent first."""
    counted = failed.groupby(["signature", column]).size().rename("number").reset_index()
    ranked = counted.sort_values(["signature", "number", column], ascending=[True, False, True])
    lists: dict[str, list[str]] = {}
    for signature, value in ranked[["signature", column]].itertuples(index=False):
        lists.setdefault(signature, []).append(value)
    values = [lists.get(signature, [])[:_MAX_VALUES] or None for signature in signatures]
    return pd.Series(values, index=signatures, dtype=TEXTS)
