"""Faults that a client of appliances can meet, selected by a seed.

`fault` has their kinds and selects the fault of a request, `replies` builds its reply, and
`contents` changes the jobs in a reply. Only `fault` is imported here, which keeps help texts fast.
"""

from backupkit.simulator.faults.fault import KINDS, ROUTES, Fault, Kind, mixed_faults

__all__ = ["KINDS", "ROUTES", "Fault", "Kind", "mixed_faults"]
