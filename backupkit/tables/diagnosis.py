"""Contracts of the frames that explain an assessment: baselines, loads, findings, changes."""

from backupkit.tables.constants import SLOT_STATES, STATES
from backupkit.tables.contract import COUNT, NUMBER, SPAN, TEXT, TIME, Column, Table
from backupkit.tables.frames import METRICS

_APPLIANCE = Column("appliance", TEXT, "The appliance's name in fleet.toml.")

BASELINES = Table(
    "baselines",
    (
        _APPLIANCE,
        Column("sample_size", COUNT, "Successes of the baseline, at most 10; anomalies need 10."),
        Column("typical_duration", SPAN, "Median duration of those successes.", "s"),
        Column("typical_size", NUMBER, "Median size of those with a size.", "bytes"),
        Column("growth", NUMBER, "Theil-Sen slope of size against start.", "bytes/day"),
        Column("growth_share", NUMBER, "30 days of growth / median size."),
        Column("footprint", COUNT, "Sum of the newest max_count sizes.", "bytes"),
        Column("footprint_jobs", COUNT, "Number of sizes in that sum."),
    ),
    index="appliance",
)
"""Usual duration, size and growth of each appliance (docs/sla.md, section 4, numbers 19 to 21)."""

ANOMALIES = Table(
    "anomalies",
    (
        _APPLIANCE,
        Column("job_id", TEXT, "The appliance's own id of the job."),
        Column("start_time", TIME, "When the job started.", "UTC"),
        Column("kind", TEXT, "duration, size, overrun (still running) or stall (still running)."),
        Column("value", NUMBER, "Its duration [s], size [bytes] or time without progress [s]."),
        Column("typical", NUMBER, "Usual value, of the weekday in a rhythm; missing for a stall."),
        Column("score", NUMBER, "Logarithm of value / typical, in spreads; missing for a stall."),
        Column("rule", TEXT, "The rule that it broke, as text."),
    ),
)
"""Jobs that deviate from the appliance's own past, by kind of deviation."""

LOADS = Table(
    "loads",
    (
        Column("target", TEXT, "The backup target: scheme and host."),
        Column("appliances", COUNT, "Appliances that write to it in the period."),
        Column("jobs", COUNT, "Their jobs in the period."),
        Column("peak", COUNT, "Peak of concurrent jobs."),
        Column("peak_at", TIME, "First time of that peak.", "UTC"),
        Column(
            "planned_peak",
            COUNT,
            "Peak of concurrent slots, if each job takes its typical duration.",
        ),
        Column("planned_peak_at", TIME, "First time of that peak.", "UTC"),
        Column("busy_time", SPAN, "Time with at least one running job.", "s"),
        Column("bytes_sent", COUNT, "Bytes sent by the jobs with a size.", "bytes"),
        Column(
            "throughput",
            NUMBER,
            "Median size / duration of the successes that ended in the period.",
            "bytes/s",
        ),
    ),
    index="target",
)
"""Concurrent jobs and data of each backup target, the highest peak first."""

LINT = Table(
    "lint",
    (
        _APPLIANCE,
        Column("rule", TEXT, "Short name of the rule."),
        Column("severity", TEXT, "error (the SLA cannot be met), warning or note."),
        Column("finding", TEXT, "What was found, with its numbers."),
        Column("advice", TEXT, "What to do about it."),
    ),
)
"""Findings of the schedule and policy checks, errors first."""

FAILURE_COUNTS = Table(
    "failure counts",
    (
        Column("signature", TEXT, "The signature of the failures."),
        _APPLIANCE,
        Column("day", TIME, "The UTC day of the jobs' ends.", "UTC"),
        Column("hour", COUNT, "The UTC hour of the jobs' ends, from 0 to 23.", "UTC"),
        Column("build", TEXT, "The build that ran."),
        Column("target", TEXT, "The backup target: scheme and host."),
        Column("jobs", COUNT, "Failed jobs."),
    ),
)
"""Failed jobs by signature, appliance, day, hour, build and target."""

FAILURE_PARTS = Table(
    "failure parts",
    (
        Column("signature", TEXT, "The signature of the failures."),
        Column("part", TEXT, "The appliance, site, ... of the jobs; missing if not known."),
        Column("jobs", COUNT, "Failed jobs."),
        Column("appliances", COUNT, "Appliances with such a job."),
    ),
)
"""Failed jobs by signature and one more property, such as the appliance or the site."""

CLUSTERS = Table(
    "clusters",
    (
        Column("signature", TEXT, "The signature of the failures."),
        Column("property", TEXT, "What they share: target, build, site or group."),
        Column("value", TEXT, "The target, build, site or group that they share."),
        Column("appliances", COUNT, "Appliances with the signature that share it."),
        Column("affected", COUNT, "Appliances with the signature whose value is known."),
        Column("sharing", COUNT, "All appliances with jobs in the period that share it."),
        Column("others", COUNT, "All appliances with jobs in the period that do not."),
        Column(
            "lift",
            NUMBER,
            "Its rate among those that share it / among the rest; "
            "missing where no other appliance has it.",
        ),
        Column("p_value", NUMBER, "Chance that as many share it by accident (exact test)."),
        Column(
            "q_value",
            NUMBER,
            "False discovery rate, over all questions, from which on it is reported.",
        ),
        Column("finding", TEXT, "The same in a sentence."),
    ),
)
"""Values that appliances with the same failure share more often than chance explains."""

CLUSTER_TESTS = Table(
    "cluster tests",
    (
        Column("signature", TEXT, "The signature of the failures."),
        Column("property", TEXT, "The kind of value: target, build, site or group."),
        Column("affected", COUNT, "Appliances with the signature whose value is known."),
        Column("compared", COUNT, "All appliances with jobs in the period and a known value."),
        Column("value_count", COUNT, "Values that occur, each counted once."),
        Column("asked", COUNT, "Those for which a test can tell: the questions asked."),
        Column("smallest_p", NUMBER, "Smallest p value that any outcome could have."),
        Column("found", COUNT, "Those that are reported in CLUSTERS."),
        Column("result", TEXT, "shared, no finding, or no test can tell."),
    ),
)
"""Tests behind CLUSTERS, for each signature of at least two appliances and each kind of value."""

GROUPS = Table(
    "groups",
    (
        Column("property", TEXT, "site or group."),
        Column("name", TEXT, "The site or the group."),
        *METRICS.columns,
    ),
)
"""The figures of each site and each group."""

VERDICTS = Table(
    "verdicts",
    (
        Column("property", TEXT, "fleet, site or group."),
        Column("name", TEXT, "The site or the group; empty for the fleet."),
        Column("target_state", TEXT, "met, missed or unknown: whether the period met its targets."),
        Column("state", TEXT, "compliant, breach or unknown, at the period's end."),
        *(Column(state, COUNT, f"Appliances {state} at the period's end.") for state in STATES),
        Column("appliances_met", COUNT, "Appliances that met all of their own targets."),
        Column("appliances_judged", COUNT, "Appliances with data for a target."),
        Column("reason", TEXT, "The figures that decide about the target."),
    ),
)
"""The verdicts on the period and on its end, for the fleet, each site and each group."""

TREND = Table(
    "trend",
    (
        Column(
            "day",
            TIME,
            "Where the UTC day, ISO week or month begins; the first and the last may be cut.",
            "UTC",
        ),
        *(Column(state, SPAN, f"Time {state}, of all appliances.", "s") for state in STATES),
        Column("rpo_strict", NUMBER, "compliant / (compliant + breach + unknown)."),
        Column("rpo_observed", NUMBER, "compliant / (compliant + breach)."),
        *(
            Column(f"slots_{state}", COUNT, f"Expected runs of the row that are {state}.")
            for state in SLOT_STATES
        ),
    ),
    index="day",
)
"""States and slots of the fleet; one row per UTC day, ISO week or month of the period."""

CHANGES = Table(
    "changes",
    (
        Column("kind", TEXT, "What changed; see `backupkit.assessment.CHANGE_KINDS`."),
        Column("appliance", TEXT, "The appliance; missing for a failure signature."),
        Column("signature", TEXT, "The failure signature, if it is about one."),
        Column(
            "state_before",
            TEXT,
            "The appliance's state in the earlier assessment; missing where it was not known.",
        ),
        Column("state_after", TEXT, "Its state in the later assessment; missing where it is gone."),
        Column("detail", TEXT, "Why, in a sentence."),
    ),
)
"""Changes between two assessments of one fleet, the worst first."""

_WARNING_COLUMNS = (
    _APPLIANCE,
    Column("kind", TEXT, "at risk (of a breach within a day) or slower (of one within 30 days)."),
    Column("issued_at", TIME, "When the warning was issued.", "UTC"),
    Column("until", TIME, "Until when it applies.", "UTC"),
    Column("text", TEXT, "Why, in a sentence."),
)

WARNINGS = Table("warnings", _WARNING_COLUMNS)
"""Warnings of a breach that is still to come."""

WARNING_SCORES = Table(
    "warning scores",
    (
        *_WARNING_COLUMNS,
        Column("result", TEXT, "came true, did not come true, not known, open or missed."),
    ),
)
"""Warnings of an earlier assessment, by what happened; a missed breach has no kind."""

FORECAST = Table(
    "forecast",
    (
        _APPLIANCE,
        Column("probability", NUMBER, "Probability of a breach within a day."),
        Column("breach_at", TIME, "When the breach begins if no run succeeds.", "UTC"),
        Column("runs_left", COUNT, "Slots within a day that can be done before."),
        Column("known_slots", COUNT, "Resolved slots that it is based on."),
        Column("missed_slots", COUNT, "Those of them that were missed."),
        Column("next_slot", TIME, "The next slot within a day; missing if there is none.", "UTC"),
    ),
)
"""Probability of a breach within a day, of compliant appliances; the most probable first."""

RELIABILITY = Table(
    "reliability",
    (
        Column("low", NUMBER, "Probabilities above this; 0 up to 0 are those of exactly 0."),
        Column("high", NUMBER, "Probabilities up to this."),
        Column("forecasts", COUNT, "Forecasts of the past days with such a probability."),
        Column("predicted", NUMBER, "Their mean probability."),
        Column("observed", COUNT, "Those that a breach followed within a day."),
        Column("share", NUMBER, "observed / forecasts."),
    ),
)
"""Past forecasts compared with what happened, by probability."""
