"""Contracts of the collected frames and of the frames of an assessment.

The single source of names, dtypes, units and meanings. The SLA figures follow docs/sla.md.
"""

from backupkit.tables.constants import SLOT_STATES, STATES
from backupkit.tables.contract import (
    COUNT,
    FLAG,
    MESSAGE_LIST,
    NUMBER,
    SPAN,
    TEXT,
    TEXT_LIST,
    TIME,
    Column,
    Table,
)

_APPLIANCE = Column("appliance", TEXT, "The appliance's name in fleet.toml.")
_JOB = (
    _APPLIANCE,
    Column("job_id", TEXT, "The appliance's own id of the job."),
)
_SEEN = (
    Column("state", TEXT, "FAILED, INPROGRESS, NONE, SUCCEEDED, or a word not known yet."),
    Column("status", TEXT, "Raw status of the response, before normalisation to `state`."),
    Column("progress", NUMBER, "Progress of the job.", "%"),
    Column("start_time", TIME, "When the job started.", "UTC"),
    Column("end_time", TIME, "When it ended; missing while it runs.", "UTC"),
    Column(
        "messages", MESSAGE_LIST, "Messages of the appliance: id, default_message, args, localized."
    ),
    Column(
        "type", TEXT, "SCHEDULED, MANUAL or LOCAL_BACKUP; missing where only job/{id} was read."
    ),
    Column("size", COUNT, "Data sent to the backup target.", "bytes"),
    Column("location", TEXT, "Where the backup went, a URI."),
    Column("build", TEXT, "The appliance's build number at the time."),
    Column(
        "source",
        TEXT,
        "Source: job or details; list if the job is missing from the appliance's list. Then "
        "all other values are missing.",
    ),
    Column(
        "read_error",
        TEXT,
        "Why the job, or a part of it, could not be read; missing if all of it was read.",
    ),
)
_API_ERROR = (
    Column("error_type", TEXT, "Type of an error of the API, such as RESOURCE_BUSY."),
    Column(
        "error_messages",
        MESSAGE_LIST,
        "Messages of an error of the API: what failed, then its causes, the nearest first.",
    ),
    Column("error_data", TEXT, "Data of an error of the API, as JSON."),
)

OBSERVATIONS = Table(
    "observations",
    (*_JOB, Column("observed_at", TIME, "Time of the response.", "UTC"), *_SEEN),
)
"""State of one job as reported by one poll; append-only, one row per change."""

JOBS = Table(
    "jobs",
    (
        *_JOB,
        *_SEEN,
        Column(
            "duration",
            SPAN,
            "end_time - start_time; missing while it runs, or if they are not plausible.",
            "s",
        ),
        Column("outcome", TEXT, "success, failure, open, void or other."),
        Column("first_seen_at", TIME, "When the job was first observed.", "UTC"),
        Column("last_seen_at", TIME, "When it was last observed to change.", "UTC"),
        Column(
            "vanished_at",
            TIME,
            "When the appliance was first seen to list it no more; missing while it is listed.",
            "UTC",
        ),
    ),
)
"""The newest observation of each job; key (appliance, job_id)."""

CONFLICTS = Table(
    "conflicts",
    (
        *_JOB,
        Column("observed_at", TIME, "Time of the newer observation.", "UTC"),
        Column("start_time", TIME, "Start, newer observation.", "UTC"),
        Column("end_time", TIME, "End, newer observation.", "UTC"),
        Column("known_start_time", TIME, "Start, earlier observation.", "UTC"),
        Column("known_end_time", TIME, "End, earlier observation.", "UTC"),
    ),
)
"""Ended jobs for which an appliance later reported another start or end."""

ASSESSED_JOBS = Table(
    "assessed jobs",
    (
        *JOBS.columns,
        Column("signature", TEXT, "The failure's signature; missing unless the job failed."),
        Column("cause_name", TEXT, "Short name of the failure's cause; missing if not known."),
        Column("type_inferred", FLAG, "Whether `type` was inferred from the schedule."),
        Column("remark", TEXT, "What is odd about the job; missing if nothing is."),
        Column("throughput", NUMBER, "size / duration; missing unless it succeeded.", "bytes/s"),
        Column(
            "local",
            FLAG,
            "Whether it is no recovery point because it was saved on the appliance itself.",
        ),
        Column(
            "in_period", FLAG, "Whether it overlaps the period, or may; a report has only these."
        ),
    ),
)
"""Jobs used by an assessment; times that are not plausible are missing, see `remark`."""

JOINED_JOBS = Table(
    "joined jobs",
    (
        *_JOB,
        Column(
            "in_period",
            FLAG,
            "Whether it overlaps the period, or may. The others are older; a figure needs them.",
        ),
        Column("site", TEXT, "The appliance's site in fleet.toml."),
        Column("group", TEXT, "The appliance's group in fleet.toml."),
        Column("version", TEXT, "The appliance's version, newest good poll; see `build`."),
        Column("target", TEXT, "The backup target: scheme and host; missing without a location."),
        Column("slot", TIME, "The expected run that it decided; missing if none.", "UTC"),
        *(
            Column("messages", TEXT, "Texts of its messages, one on each line; missing if none.")
            if column.name == "messages"
            else column
            for column in ASSESSED_JOBS
            if column.name not in {"appliance", "job_id", "in_period"}
        ),
    ),
)
"""Jobs of an assessment with their appliance, target and slot: one flat row for each job."""

POLLS = Table(
    "polls",
    (
        _APPLIANCE,
        Column("polled_at", TIME, "Start of the poll.", "UTC"),
        Column(
            "ok",
            FLAG,
            "Whether the job list and what was new on it were read; missing if a part was not read "
            "(then `jobs_unread` is above 0), if the poll was stopped by Ctrl-C, or if it only "
            "followed a running job.",
        ),
        Column("error", TEXT, "Kind of the error, see `backupkit.errors`."),
        Column("detail", TEXT, "The error in a sentence, with advice."),
        *_API_ERROR,
        Column("api", TEXT, "API flavour: api or rest."),
        Column("version", TEXT, "Newest known version of the appliance."),
        Column("timezone", TEXT, "Newest known IANA time zone of the appliance."),
        Column("details", FLAG, "Whether it has job details and schedules (6.7 and later)."),
        Column("requests", COUNT, "HTTP requests of the poll."),
        Column("elapsed", SPAN, "Duration of the poll.", "s"),
        Column("clock_skew", SPAN, "The appliance's clock minus ours.", "s"),
        Column("jobs_listed", COUNT, "Jobs on the appliance's list."),
        Column(
            "jobs_changed", COUNT, "Jobs read: new ones, and those not finished when last seen."
        ),
        Column("jobs_unread", COUNT, "Jobs on the list that could not be read completely."),
        Column(
            "schedules_read",
            COUNT,
            "Schedules on the appliance; missing if they were not read.",
        ),
        Column(
            "schedules_error",
            TEXT,
            "Why the schedules could not be read; missing if they were, or do not exist (6.5).",
        ),
    ),
)
"""One poll of one appliance, successful or not."""

ERRORS = Table(
    "errors",
    (
        _APPLIANCE,
        Column("error", TEXT, "Kind of the error, see `backupkit.errors`."),
        Column("detail", TEXT, "The error in a sentence, with advice."),
        Column("job_id", TEXT, "The job concerned; missing if the error concerns all of the poll."),
        *_API_ERROR,
    ),
)
"""Errors of one collection."""

RUNNING = Table(
    "running",
    (
        *_JOB,
        Column("state", TEXT, "FAILED, INPROGRESS, NONE, SUCCEEDED, or a word not known yet."),
        Column("progress", NUMBER, "Progress of the job.", "%"),
        Column("start_time", TIME, "When the job started.", "UTC"),
        Column("end_time", TIME, "When it ended; missing while it runs.", "UTC"),
        Column("observed_at", TIME, "Time of the poll.", "UTC"),
        Column("elapsed", SPAN, "How long it has run, by the appliance's own clock.", "s"),
        Column(
            "time_left",
            SPAN,
            "Estimated from its progress and the appliance's earlier runs; missing if neither is "
            "known.",
            "s",
        ),
        Column("changed_at", TIME, "When its progress was last seen to change.", "UTC"),
        Column("stalled", FLAG, "Whether its progress has not changed for suspiciously long."),
        Column("detail", TEXT, "Why this poll failed; missing if it was good."),
        Column("message", TEXT, "The newest message of the job; missing without any."),
    ),
)
"""The jobs that `backupkit.watch` follows, one row each."""

CHECKS = Table(
    "checks",
    (
        _APPLIANCE,
        Column("check", TEXT, "Name of the check."),
        Column("result", TEXT, "ok, warning, failed, or skipped because it needs another check."),
        Column("found", TEXT, "What was found."),
        Column("advice", TEXT, "What to do about it; missing where there is nothing to do."),
        Column("elapsed", SPAN, "How long the check took.", "s"),
    ),
)
"""One row per check and appliance; each check follows those that it needs."""

SCHEDULES = Table(
    "schedules",
    (
        _APPLIANCE,
        Column("schedule", TEXT, "The schedule's name on the appliance."),
        Column("seen_at", TIME, "When it was first seen so.", "UTC"),
        Column("enabled", FLAG, "Whether it is enabled."),
        Column("hour", COUNT, "Hour of the day of the start, in `timezone`.", "h"),
        Column("minute", COUNT, "Minute of the hour of the start.", "min"),
        Column("days", TEXT_LIST, "MONDAY to SUNDAY; missing means every day."),
        Column("timezone", TEXT, "The appliance's own IANA time zone."),
        Column("max_count", COUNT, "How many backups it keeps; missing means all."),
        Column("location", TEXT, "Where its backups go, a URI."),
        Column("parts", TEXT_LIST, "Which parts it saves."),
        Column(
            "removed",
            FLAG,
            "True in the row that ends a schedule, which was on the appliance before and is no "
            "longer; all other values are missing.",
        ),
        Column(
            "read_error",
            TEXT,
            "Why the schedule, or a part of it, could not be read; missing if all of it was read.",
        ),
    ),
)
"""Backup schedules of the appliances; one row per observed change."""

TOTALS = Table(
    "totals",
    (
        _APPLIANCE,
        Column("polls", COUNT, "Polls that read the job list, or failed to."),
        Column("polls_ok", COUNT, "Polls that read the job list."),
        Column("jobs", COUNT, "Jobs known."),
        Column("oldest_start", TIME, "Start of the oldest job, by the appliance's clock.", "UTC"),
        Column("sized_jobs", COUNT, "Finished successes with a size."),
        Column("sized_bytes", COUNT, "Sum of those sizes; missing without any.", "bytes"),
    ),
    index="appliance",
)
"""Counts over all jobs and polls of each appliance."""

_SLOT_COUNTS = tuple(
    Column(f"slots_{state}", COUNT, f"Expected runs in the period that are {state}.")
    for state in SLOT_STATES
)

APPLIANCES = Table(
    "appliances",
    (
        _APPLIANCE,
        Column("site", TEXT, "Its site in fleet.toml."),
        Column("group", TEXT, "Its group in fleet.toml."),
        Column("state", TEXT, "compliant, breach, unknown, excluded or unobserved, at the end."),
        Column("reason", TEXT, "Why, in a sentence."),
        Column("onboarding_until", TIME, "Until when it is excluded without a success.", "UTC"),
        Column(
            "exposure", SPAN, "Age of the newest recovery point; missing without a success.", "s"
        ),
        Column("exposure_at_least", SPAN, "The lower bound where no success is known.", "s"),
        Column("threshold", SPAN, "RPO + grace, beyond which it is in breach.", "s"),
        Column("breach_since", TIME, "When its breach began; missing unless it is in one.", "UTC"),
        Column("last_success", TIME, "Start of the newest success that had finished.", "UTC"),
        Column("last_attempt", TIME, "Start of the newest job that did start.", "UTC"),
        Column("last_attempt_end", TIME, "End of that job; missing while it runs.", "UTC"),
        Column("last_outcome", TEXT, "Outcome of that job."),
        *(Column(state, SPAN, f"Time {state} in the period.", "s") for state in STATES),
        Column("rpo_strict", NUMBER, "compliant / (compliant + breach + unknown)."),
        Column("rpo_observed", NUMBER, "compliant / (compliant + breach)."),
        Column("worst_exposure", SPAN, "The largest exposure in the observed part.", "s"),
        Column("mean_exposure", SPAN, "The mean exposure over the observed time.", "s"),
        Column("attempts", COUNT, "Jobs that ended in the period, success or failure."),
        Column("attempts_ok", COUNT, "The successes among them."),
        Column("throughput", NUMBER, "Median size / duration of those successes.", "bytes/s"),
        *_SLOT_COUNTS,
        Column("target_state", TEXT, "met, missed or unknown: the worst of its targets."),
        Column("slot_strict", NUMBER, "Slots met, rescued or late / resolved and unknown ones."),
        Column("slot_observed", NUMBER, "Slots met, rescued or late / resolved ones."),
        Column("on_time_strict", NUMBER, "Slots met or rescued / resolved and unknown ones."),
        Column("on_time_observed", NUMBER, "Slots met or rescued / resolved ones."),
        Column("first_attempts", COUNT, "Slots with an attempt."),
        Column("first_attempts_ok", COUNT, "Those whose first attempt succeeded."),
        Column("days", COUNT, "Backup days observed from end to end."),
        Column("days_missed", COUNT, "Those in which no backup succeeded."),
        Column("window_runs", COUNT, "Finished scheduled runs; missing without a window."),
        Column("window_ok", COUNT, "Those that kept to the backup window."),
        Column("window_running", COUNT, "Runs past the window's end at the period's end."),
        Column("window_overrun", SPAN, "By how much the finished ones ran past it, in all.", "s"),
        Column("duration_runs", COUNT, "Scheduled runs; missing without a limit of duration."),
        Column("duration_ok", COUNT, "Those that took no longer than the limit."),
        Column("strikes", COUNT, "Failures since the last success."),
        Column("strikes_worst", COUNT, "The longest run of failures that touches the period."),
        Column("incidents", COUNT, "Incidents with their onset in the period."),
        Column("incidents_closed", COUNT, "Those that ended by the period's end."),
        Column("incident_since", TIME, "Onset of the incident that is open at the end.", "UTC"),
        Column("mttr", SPAN, "Mean length of the closed incidents of the period.", "s"),
        Column("incident_free", SPAN, "Observed time without an incident.", "s"),
        Column("mtbf", SPAN, "incident_free / incidents; missing without an incident.", "s"),
        Column("max_gap", SPAN, "The longest gap between two runs that the schedule plans.", "s"),
        Column("feasible", FLAG, "Whether the schedule can meet the RPO; missing without one."),
    ),
    index="appliance",
)
"""One row per appliance: its state and its figures (docs/sla.md, section 4)."""

INTERVALS = Table(
    "intervals",
    (
        _APPLIANCE,
        Column("state", TEXT, "compliant, breach, unknown, excluded or unobserved."),
        Column("start", TIME, "When the state began, inclusive.", "UTC"),
        Column("end", TIME, "When it ended, exclusive.", "UTC"),
    ),
)
"""States over time: a partition of the period for each appliance, without gap or overlap."""

SLOTS = Table(
    "slots",
    (
        _APPLIANCE,
        Column("schedule", TEXT, "The schedule that expects the run."),
        Column("slot", TIME, "When the run was to start.", "UTC"),
        Column("deadline", TIME, "When it had to be done.", "UTC"),
        Column("state", TEXT, "met, rescued, late, missed_*, pending, unknown or excluded."),
        Column("job_id", TEXT, "The job that decided it; missing if none ran."),
        Column("attempts", COUNT, "Jobs that belong to the slot."),
        Column("first_outcome", TEXT, "Outcome of the first of them; missing if none ran."),
    ),
)
"""One row per slot of the period."""

INCIDENTS = Table(
    "incidents",
    (
        _APPLIANCE,
        Column("incident", TEXT, "Its id: appliance/onset, to the second."),
        Column("onset", TIME, "End of the first failure, or when the run was overdue.", "UTC"),
        Column("recovery", TIME, "End of the next success; missing while it is open.", "UTC"),
        Column(
            "duration", SPAN, "Onset to recovery; while open, to the end of the known time.", "s"
        ),
        Column("open", FLAG, "Whether it was open at the period's end."),
        Column("kind", TEXT, "How it began: failed or norun."),
        Column("carried_over", FLAG, "Whether it began before the period."),
    ),
)
"""One row per incident that overlaps the period."""

FAILURES = Table(
    "failures",
    (
        Column("signature", TEXT, "What the failures have in common, variable parts taken out."),
        Column("message_id", TEXT, "The id of the message, if all have the same."),
        Column("text", TEXT, "The complete message of the newest failure."),
        Column("jobs", COUNT, "Failed jobs with this signature."),
        Column("appliances", COUNT, "Appliances that have it."),
        Column("share", NUMBER, "jobs / all failed jobs of the period."),
        Column("first_seen", TIME, "End of the first such job.", "UTC"),
        Column("last_seen", TIME, "End of the last such job.", "UTC"),
        Column("names", TEXT_LIST, "The appliances' names, the most affected first."),
        Column("builds", TEXT_LIST, "The builds it was seen on."),
        Column("targets", TEXT_LIST, "The backup targets, scheme and host."),
        Column(
            "chain",
            TEXT_LIST,
            "All messages of the newest failure, the most general first; missing if it has one.",
        ),
        Column("cause_name", TEXT, "Short name of the cause; missing if not one is known."),
        Column("cause", TEXT, "Cause of the failures, in a sentence; missing if none is known."),
        Column("next_step", TEXT, "What to check next, or where to read why."),
        Column("source", TEXT, "Source of cause and next step; missing if no cause is known."),
    ),
)
"""The failure signatures of the period, the most frequent first."""

COVERAGE = Table(
    "coverage",
    (
        _APPLIANCE,
        Column("configured", FLAG, "Whether it is in fleet.toml."),
        Column("polls", COUNT, "Polls up to now."),
        Column("polls_ok", COUNT, "Polls that read the job list."),
        Column("last_poll", TIME, "The newest poll up to the period's end.", "UTC"),
        Column("last_ok", TIME, "The newest of them that read the job list.", "UTC"),
        Column("known_since", TIME, "First good poll, or start of the oldest job.", "UTC"),
        Column(
            "known_until",
            TIME,
            "Until when the state is known; not after the end of a period that is over.",
            "UTC",
        ),
        Column("staleness", SPAN, "How long its newest good poll counts as knowledge.", "s"),
        Column("observed", SPAN, "Time compliant or in breach, in the period.", "s"),
        Column("in_scope", SPAN, "Time compliant, in breach or unknown, in the period.", "s"),
        Column("ratio", NUMBER, "observed / in_scope."),
        Column("error", TEXT, "Kind of the error, if the newest poll failed or is partial."),
        Column("detail", TEXT, "The error in a sentence."),
        Column("failing_since", TIME, "The first failed poll since the last good one.", "UTC"),
        Column(
            "clock_skew",
            SPAN,
            "Clock of the appliance minus the collector's, newest good poll.",
            "s",
        ),
        Column("timezone", TEXT, "The zone its schedule was read in."),
        Column("timezone_source", TEXT, "Source of the zone: appliance, fleet.toml or assumed."),
        Column("api", TEXT, "API flavour of the newest good poll."),
        Column("version", TEXT, "The appliance's version."),
        Column("jobs", COUNT, "Known jobs of the appliance."),
        Column("jobs_unread", COUNT, "Listed jobs that the newest good poll could not read."),
        Column("schedules_error", TEXT, "Why the newest good poll could not read the schedules."),
    ),
    index="appliance",
)
"""Data basis of each appliance: polls, known time, clock and jobs."""

METRICS = Table(
    "fleet",
    (
        Column("metric", TEXT, "The name of the figure."),
        Column("value", NUMBER, "numerator / denominator; NA when the denominator is 0."),
        Column("numerator", NUMBER, "What is counted."),
        Column("denominator", NUMBER, "What it is counted against."),
        Column(
            "unit",
            TEXT,
            "What numerator and denominator count; of a mean, what each of them counts.",
        ),
        Column("target", NUMBER, "The share that the policy demands; NA if there is none."),
        Column("target_state", TEXT, "met, missed or unknown; NA without a target or data."),
    ),
    index="metric",
)
"""The figures of the fleet, micro (sum over sum) and macro (mean of the appliances)."""
