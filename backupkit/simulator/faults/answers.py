"""What each kind of fault looks like: the one table from kind to answer."""

from backupkit.simulator.faults.bodies import BODIES, CONNECTIONS
from backupkit.simulator.faults.case import Answering, Case
from backupkit.simulator.faults.contents import CONTENTS
from backupkit.simulator.faults.statuses import STATUSES
from backupkit.simulator.wire import Reply

ANSWERS: dict[str, Answering] = CONNECTIONS | BODIES | STATUSES | CONTENTS


def befallen(case: Case) -> Reply:
    """Answer a request that a fault befalls.

    Parameters
    ----------
    case : Case
        Fault, appliance and request.

    Returns
    -------
    Reply
        As its kind says.
    """
    return ANSWERS[case.fault.kind](case)
