"""Faults that a client of appliances can meet, selected by a seed.

`kinds` lists them, `fault` defines kind, scope and rate, `chance` selects the fault of a request,
and `answers` builds the reply. The last two are not imported here, which keeps help texts fast.
"""

from backupkit.simulator.faults.fault import Fault
from backupkit.simulator.faults.kinds import KINDS, ROUTES, Kind
from backupkit.simulator.faults.mixed import mixed_faults

__all__ = ["KINDS", "ROUTES", "Fault", "Kind", "mixed_faults"]
