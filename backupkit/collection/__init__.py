"""Collection of jobs and schedules from many appliances, and watch of running jobs.

`saved_answers` reads API responses that somebody else saved.

A failed appliance is a row in `Snapshot.errors` and `Snapshot.polls`, never an exception.
"""

from backupkit.collection.collector import collect
from backupkit.collection.poll import Strategy
from backupkit.collection.saved_files import saved_answers
from backupkit.collection.snapshot import Snapshot
from backupkit.collection.watcher import watch

__all__ = ["Snapshot", "Strategy", "collect", "saved_answers", "watch"]
