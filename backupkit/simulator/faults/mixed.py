"""Faults for a large fleet, of all kinds in turn."""

from collections.abc import Iterable, Sequence

from backupkit.simulator.faults.fault import Fault
from backupkit.simulator.faults.kinds import KINDS
from backupkit.simulator.model import seeded_rng


def mixed_faults(
    names: Iterable[str],
    share: float = 1 / 3,
    seed: int = 1,
    kinds: Sequence[str] = tuple(KINDS),
    *,
    wait: float | None = None,
    size: int | None = None,
) -> list[Fault]:
    """Return one persistent fault for each of a share of the appliances, of all kinds in turn.

    Parameters
    ----------
    names : iterable of str
        Names of the appliances.
    share : float
        Share of faulty appliances, 0 to 1; they are spread evenly.
    seed : int
        Shuffles the kinds.
    kinds : sequence of str
        Kinds to use; default: all.
    wait, size : float, int, optional
        As in `Fault`.

    Returns
    -------
    list of Fault
        One fault per faulty appliance, with its name as ``appliance``.

    Examples
    --------
    >>> faults = mixed_faults([f"vc-{n}" for n in range(6)], kinds=["reset", "page"])
    >>> sorted((fault.appliance, fault.rate) for fault in faults)
    [('vc-2', 1.0), ('vc-5', 1.0)]
    >>> sorted({fault.appliance: fault.kind for fault in faults}.values())
    ['page', 'reset']
    """
    if not 0 <= share <= 1:
        raise ValueError(f"The share of faulty appliances must lie between 0 and 1: {share}.")
    shuffled = seeded_rng(f"{seed}/mixed faults").sample(list(kinds), k=len(kinds))
    count = 0
    faults = []
    for number, name in enumerate(names, start=1):
        if round(number * share, 9) >= count + 1:
            faults.append(
                Fault(shuffled[count % len(shuffled)], appliance=name, wait=wait, size=size)
            )
            count += 1
    return faults
