"""Failed jobs grouped by the signature of their messages."""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import pandas as pd

from backupkit.analysis.arrays import from_codes, to_instant, to_utc_column
from backupkit.analysis.jobs import job_times
from backupkit.analysis.messages import order_messages, plain_text_of
from backupkit.analysis.signatures import NO_MESSAGE, signature_of
from backupkit.analysis.target_load import encode_targets
from backupkit.causes import MAX_SEARCHED_LENGTH, Catalogue, Cause, known_causes
from backupkit.tables import FAILURE_COUNTS, FAILURES
from backupkit.tables.dtypes import TEXTS

__all__ = [
    "DIFFERENT_CAUSES",
    "NO_ADVICE",
    "NO_MESSAGE",
    "failure_counts",
    "failure_signatures",
    "failures",
    "select_ended_jobs",
]

NO_ADVICE: Final = (
    "No specific advice is known. Read /var/log/vmware/applmgmt/backup.log on the appliance around"
    " the job's end."
)
"""The next step where no cause is known."""

DIFFERENT_CAUSES: Final = "Read the messages of its jobs: their causes differ."
"""The next step where jobs with one signature have different causes."""

_NO_OWN: Final = Catalogue(())
_MAX_ARGS: Final = 10  # args of a message that are replaced
_MAX_VALUES: Final = 50  # names, builds and targets of one signature


class _Explained(NamedTuple):
    """Content of the messages of a job; missing values are None."""

    signature: str
    message_id: str | None
    text: str | None
    chain: str | None
    cause_name: str | None


_SILENT: Final = _Explained(NO_MESSAGE, None, None, None, None)


def failure_signatures(jobs: pd.DataFrame, own: Catalogue = _NO_OWN) -> pd.DataFrame:
    """Return what the messages of each failed job say.

    Parameters
    ----------
    jobs : DataFrame
        Of `backupkit.tables.JOBS`.
    own : Catalogue
        Causes that are preferred to those of `backupkit.analysis.known_causes`.

    Returns
    -------
    DataFrame
        On the index of `jobs`, missing unless the job failed: signature, message_id and text
        (complete, as the appliance shows it) of the most specific message; chain (all texts, the
        most general first, one in a line; missing if there is only one); cause_name (short name of
        the known cause).

    Notes
    -----
    Signatures are made of the untranslated text, so that appliances with different languages are
    grouped together. Each distinct list of messages is processed once.
    """
    failed = jobs["outcome"].eq("failure").to_numpy()
    cache: dict[object, _Explained] = {}
    signatures: dict[object, str] = {}
    rows = []
    for messages in jobs["messages"].array[failed]:
        if not isinstance(messages, list):
            rows.append(_SILENT)
            continue
        key = tuple(map(_key_of, messages))
        explained = cache.get(key)
        if explained is None:
            explained = cache[key] = _explain(messages, own, signatures)
        rows.append(explained)
    frame = pd.DataFrame(
        rows, columns=list(_Explained._fields), index=jobs.index[failed], dtype="str"
    )
    return frame.reindex(jobs.index)


def _key_of(message: Mapping[str, Any]) -> tuple[object, ...]:
    args = message["args"]
    return (
        message["default_message"],
        message["localized"],
        message["id"],
        tuple(args) if args else (),
    )


def _explain(
    messages: list[dict[str, Any]], own: Catalogue, signatures: dict[object, str]
) -> _Explained:
    ordered = order_messages(messages)
    if not ordered:
        return _SILENT
    best = ordered[-1]
    args = tuple(arg for arg in (best["args"] or [])[:_MAX_ARGS] if arg)
    key = (plain_text_of(best)[:MAX_SEARCHED_LENGTH], args)
    if key not in signatures:
        signatures[key] = signature_of(*key)
    cause = _find_cause(ordered, own)
    shown = [str(item["localized"] or plain_text_of(item)) for item in ordered]
    return _Explained(
        signatures[key],
        best["id"] or None,
        shown[-1],
        "\n".join(" ".join(text.split()) for text in shown) if len(shown) > 1 else None,
        None if cause is None else cause.name,
    )


def _find_cause(ordered: list[dict[str, Any]], own: Catalogue) -> Cause | None:
    """Return the cause of a chain of messages: an own one, else that of the last with one.

    A message that tells only that the job failed does not explain one that tells more.
    """
    for catalogue in (own, known_causes()) if own.causes else (known_causes(),):
        for item in reversed(ordered):
            cause = catalogue.find(plain_text_of(item), item["id"])
            if cause is not None and (cause.tells != "nothing" or item is ordered[-1]):
                return cause
    return None


def select_ended_jobs(jobs: pd.DataFrame, start: pd.Timestamp, end: pd.Timestamp) -> pd.DataFrame:
    """Return the jobs that finished in the period, with their end."""
    _, ended_at = job_times(jobs)
    inside = (ended_at >= to_instant(start)) & (ended_at < to_instant(end))
    kept = jobs.loc[inside, ["appliance", "outcome", "build", "location"]]
    return kept.assign(ended_at=to_utc_column(ended_at[inside]).set_axis(kept.index))


def failure_counts(
    jobs: pd.DataFrame, signatures: pd.DataFrame, *, start: pd.Timestamp, end: pd.Timestamp
) -> pd.DataFrame:
    """Count the failed jobs of a period by signature, appliance, time, build and target.

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
        Of `backupkit.tables.FAILURE_COUNTS`, sorted. Days without a failure have no row.

    Examples
    --------
    >>> from backupkit.analysis import failure_signatures
    >>> from backupkit.tables import JOBS
    >>> times = [pd.Timestamp(f"2026-11-02T{hour:02}:00Z") for hour in (1, 2)]
    >>> jobs = JOBS.frame({"appliance": ["a", "b"], "outcome": ["failure"] * 2, "end_time": times})
    >>> day = pd.Timestamp("2026-11-02", tz="UTC")
    >>> signatures = failure_signatures(jobs)
    >>> failure_counts(jobs, signatures, start=day, end=day + pd.Timedelta(days=1))[
    ...     ["appliance", "hour", "jobs"]
    ... ].to_numpy().tolist()
    [['a', 1, 1], ['b', 2, 1]]
    """
    failed = _select_failed_jobs(jobs, signatures, start, end)
    failed = failed.assign(
        day=failed["ended_at"].dt.floor("D"), hour=failed["ended_at"].dt.hour.astype("Int64")
    )
    by = failed.groupby(
        ["signature", "appliance", "day", "hour", "build", "target"], sort=True, dropna=False
    )
    return FAILURE_COUNTS.conform(by.size().rename("jobs").reset_index())


def _select_failed_jobs(
    jobs: pd.DataFrame, signatures: pd.DataFrame, start: pd.Timestamp, end: pd.Timestamp
) -> pd.DataFrame:
    """Return the failed jobs that ended in the period, with what their messages say."""
    ended = select_ended_jobs(jobs, start, end)
    failed = ended[ended["outcome"] == "failure"].join(signatures)
    targets = from_codes(*encode_targets(failed["location"])).set_axis(failed.index)
    return failed.assign(target=targets)


def failures(
    jobs: pd.DataFrame,
    signatures: pd.DataFrame,
    own: Catalogue = _NO_OWN,
    *,
    start: pd.Timestamp,
    end: pd.Timestamp,
) -> pd.DataFrame:
    """Group the failed jobs of a period by their signature.

    Parameters
    ----------
    jobs : DataFrame
        Of `backupkit.tables.JOBS`, each job once.
    signatures : DataFrame
        Result of `failure_signatures` for at least these jobs.
    own : Catalogue
        The own causes that `failure_signatures` used.
    start, end : Timestamp
        The period, half-open; a job counts by its end.

    Returns
    -------
    DataFrame
        Of `backupkit.tables.FAILURES`, the most frequent first. At most 50 names, builds and
        targets are listed for each. Jobs of one signature with different causes get the advice of
        none of them.
    """
    failed = _select_failed_jobs(jobs, signatures, start, end)
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
    chains = newest["chain"].reindex(groups.index)
    groups["chain"] = pd.Series(
        [None if pd.isna(chain) else chain.split("\n") for chain in chains], groups.index, TEXTS
    )
    groups["message_id"] = groups["message_id"].where(groups["ids"] == 1)
    groups["share"] = groups["jobs"] / len(failed)
    for name, column in (("names", "appliance"), ("builds", "build"), ("targets", "target")):
        groups[name] = _list_most_frequent_values(ordered, column, groups.index)
    advice = _advise_groups(ordered, groups.index, own)
    ranked = pd.concat([groups, advice], axis="columns").reset_index()
    ranked = ranked.sort_values(
        ["jobs", "last_seen", "signature"], ascending=[False, False, True], kind="stable"
    )
    return FAILURES.conform(ranked)


def _advise_groups(failed: pd.DataFrame, signatures: pd.Index, own: Catalogue) -> pd.DataFrame:
    """Return cause_name, cause, next_step and source of each signature."""
    counted = failed.groupby(["signature", "cause_name"], dropna=False).size()
    jobs: dict[str, dict[str | None, int]] = {}
    for signature, name, number in counted.rename("jobs").reset_index().itertuples(index=False):
        jobs.setdefault(signature, {})[None if pd.isna(name) else name] = int(number)
    rows = [_advise_group(jobs[signature], own) for signature in signatures]
    columns = ["cause_name", "cause", "next_step", "source"]
    return pd.DataFrame(rows, columns=columns, index=signatures, dtype="str")


def _advise_group(
    jobs: Mapping[str | None, int], own: Catalogue
) -> tuple[str | None, str | None, str, str | None]:
    if len(jobs) > 1:
        ranked = sorted(jobs.items(), key=lambda item: (-item[1], item[0] or ""))
        counted = ", ".join(f"{name or 'not known'} ({number:,})" for name, number in ranked)
        return None, f"Different causes, by number of jobs: {counted}.", DIFFERENT_CAUSES, None
    (name,) = jobs
    if name is None:
        return None, None, NO_ADVICE, None
    cause = own[name] if name in own else known_causes()[name]
    return cause.name, cause.cause, cause.next_step, cause.source


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
