"""Ask many appliances at once, and keep what each said; follow the jobs that run.

Where only someone else may ask, `saved_answers` reads what they saved.

One bad appliance is one row in `Snapshot.errors` and `Snapshot.polls`, never an exception.
"""

from backupkit.collect.rounds import collect
from backupkit.collect.saved import saved_answers
from backupkit.collect.snapshot import Snapshot
from backupkit.collect.visit import Strategy
from backupkit.collect.watching import watch

__all__ = ["Snapshot", "Strategy", "collect", "saved_answers", "watch"]
