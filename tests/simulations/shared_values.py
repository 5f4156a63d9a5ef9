"""Nights of a fleet with failures at random, and with failures on one target.

`simulate_false_findings` counts the nights with a finding where there is nothing to find.
`simulate_power` counts the nights in which the target of a real cluster is named.
docs/sla.md, figure 26, has the results of `python -m tests.simulations`.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from backupkit.analysis.clusters import find_shared_values
from backupkit.tables import JOBS

DAY = pd.Timestamp("2026-11-02", tz="UTC")
KINDS = 3
"""Different failures, so that one night asks about several error patterns."""


@dataclass(frozen=True)
class Fleet:
    """A fleet of `size` appliances, each with a target, build, site and group at random."""

    size: int
    random: np.random.Generator
    targets: int

    @property
    def members(self) -> pd.DataFrame:
        """Site and group of each appliance: about 10 at a site, three groups."""
        sites = self.random.integers(max(2, self.size // 10), size=self.size)
        groups = self.random.integers(3, size=self.size)
        names = pd.Index([f"vc-{number}" for number in range(self.size)], dtype="str")
        return pd.DataFrame({"site": sites.astype(str), "group": groups.astype(str)}, index=names)

    def find(self, failures: np.ndarray, targets: np.ndarray) -> pd.DataFrame:
        """Return the findings of a night; `failures` has the kind of each, or -1."""
        failed = failures >= 0
        jobs = JOBS.frame(
            {
                "appliance": [f"vc-{number}" for number in range(self.size)],
                "outcome": np.where(failed, "failure", "success").tolist(),
                "end_time": [DAY] * self.size,
                "location": [f"sftp://nas-{target}/x" for target in targets],
                "build": self.random.integers(4, size=self.size).astype(str).tolist(),
            }
        )
        signatures = pd.DataFrame(
            {"signature": pd.Series(failures.astype(str), dtype="str").where(failed)}
        )
        end = DAY + pd.Timedelta(days=1)
        return find_shared_values(jobs, signatures, self.members, start=DAY, end=end).clusters

    def place(self, rate: float) -> np.ndarray:
        """Return failures at random: each appliance fails with this chance."""
        kinds = self.random.integers(KINDS, size=self.size)
        return np.where(self.random.random(self.size) < rate, kinds, -1)


def simulate_false_findings(size: int, nights: int, *, seed: int = 1, rate: float = 0.1) -> int:
    """Return the number of nights with a finding; every appliance fails with the same chance."""
    fleet = Fleet(size, np.random.default_rng(seed), targets=max(3, size // 25))
    return sum(
        not fleet.find(fleet.place(rate), fleet.random.integers(fleet.targets, size=size)).empty
        for _ in range(nights)
    )


def simulate_power(size: int, failing: int, targets: int, nights: int, *, seed: int = 1) -> int:
    """Return the number of nights in which the target of `failing` appliances is named.

    The targets have the same number of appliances. 2 % of the others fail at random, each with one
    of two other kinds.
    """
    fleet = Fleet(size, np.random.default_rng(seed), targets)
    named = 0
    for _ in range(nights):
        places = np.arange(size) % targets
        failures = fleet.place(0.02)
        failures[failures == 0] = 1
        failures[fleet.random.choice(np.flatnonzero(places == 0), failing, replace=False)] = 0
        found = fleet.find(failures, places)
        named += bool(((found["signature"] == "0") & (found["value"] == "sftp://nas-0")).any())
    return named
