"""Durations and sizes of ordinary appliances, and of appliances whose runs double.

The model: durations are lognormal; the spread (sigma) of an appliance is between 5 % and 25 %.
They grow by up to 10 % in a year. A quarter of the appliances takes twice as long on Sundays. One
run in 500 takes half as long again. Sizes are lognormal with a spread of 2 % to 10 %. Instead of
normal noise, Student's t noise with the same spread can be used. docs/sla.md, figure 19, has the
results of `python -m tests.simulations`.
"""

import numpy as np
import pandas as pd

from backupkit.analysis import anomalies
from backupkit.tables import JOBS

START = pd.Timestamp("2026-01-05T01:00Z")
LEARNED = 150
"""Runs before the nights that are checked: all appliances have 100 deviations."""


def simulate_runs(  # the numbers of the model
    appliances: int,
    nights: int,
    *,
    sigma: tuple[float, float] = (0.05, 0.25),
    slow: float = 1 / 500,
    degrees: float | None = None,
    weekly: float = 0.25,
    seed: int = 1,
) -> pd.DataFrame:
    """Return one success of each appliance for each night, learning nights included."""
    random = np.random.default_rng(seed)
    total = LEARNED + nights
    shape = (appliances, total)

    def noise() -> np.ndarray:
        if degrees is None:
            return random.standard_normal(shape)
        scale = np.sqrt((degrees - 2) / degrees)
        drawn: np.ndarray = random.standard_t(degrees, shape) * scale
        return drawn

    spread = random.uniform(*sigma, (appliances, 1))
    growth = random.uniform(0, 0.1, (appliances, 1)) * np.arange(total) / 365
    usual = np.log(random.uniform(300, 7200, (appliances, 1)))
    is_sunday = (np.arange(total) + START.day_of_week) % 7 == 6
    rhythm = np.log(2) * is_sunday * (random.random((appliances, 1)) < weekly)
    lasting = np.log(1.5) * (random.random(shape) < slow)
    seconds = np.exp(usual + growth + rhythm + lasting + spread * noise())
    sizes = np.exp(23 + growth + random.uniform(0.02, 0.1, (appliances, 1)) * noise())
    starts = START.tz_localize(None).to_datetime64() + np.arange(total) * np.timedelta64(1, "D")
    begun = pd.DatetimeIndex(np.tile(starts, appliances)).tz_localize("UTC")
    names = np.repeat([f"vc-{number:04}" for number in range(appliances)], total)
    return JOBS.frame(
        {
            "appliance": names.tolist(),
            "job_id": np.tile(np.arange(total).astype(str), appliances).tolist(),
            "outcome": ["success"] * names.size,
            "start_time": pd.Series(begun),
            "end_time": pd.Series(begun + pd.to_timedelta(seconds.ravel().round(), unit="s")),
            "size": sizes.ravel().astype(np.int64).tolist(),
        }
    )


def find_anomalies(jobs: pd.DataFrame, nights: int) -> pd.DataFrame:
    """Return the anomalies of the nights after the learning ones."""
    start = START + pd.Timedelta(days=LEARNED)
    end = start + pd.Timedelta(days=nights)
    names = pd.Index(jobs["appliance"].unique(), dtype="str", name="appliance")
    return anomalies(jobs, start=start, end=end, now=end, appliances=names)


def count_false_alarms(appliances: int, nights: int, **model: object) -> dict[str, int]:
    """Return the number of anomalies of ordinary appliances, by kind."""
    found = find_anomalies(simulate_runs(appliances, nights, **model), nights)  # type: ignore[arg-type] # numbers
    counts = found["kind"].value_counts()
    return {kind: int(counts.get(kind, 0)) for kind in ("duration", "size")}


def count_doublings(appliances: int, sigma: float, *, lasting: int = 1, seed: int = 1) -> int:
    """Return how many appliances are named whose last `lasting` runs take twice as long."""
    jobs = simulate_runs(appliances, lasting, sigma=(sigma, sigma), seed=seed)
    is_doubled = jobs["job_id"].astype(int) >= LEARNED
    took = jobs["end_time"] - jobs["start_time"]
    jobs["end_time"] = jobs["end_time"] + took.where(is_doubled, pd.Timedelta(0))
    found = find_anomalies(jobs, lasting)
    return int(found.loc[found["kind"] == "duration", "appliance"].nunique())
