"""Every trouble that a client of appliances can meet, drawn by a seed.

`kinds` lists them, `fault` says what befalls whom and how often, `chance` draws, and `answers`
knows what each looks like. Only the first two are loaded here, so that a help text is quick.
"""

from backupkit.simulator.faults.fault import Fault
from backupkit.simulator.faults.kinds import KINDS, ROUTES, Kind
from backupkit.simulator.faults.mixed import mixed_faults

__all__ = ["KINDS", "ROUTES", "Fault", "Kind", "mixed_faults"]
