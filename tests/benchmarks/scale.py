"""Sizes of the benchmarks: complete, quick, and tiny for the tests."""

from dataclasses import dataclass

__all__ = ["FULL", "QUICK", "TINY", "Scale"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """Sizes of the benchmarks.

    Attributes
    ----------
    turns : int
        Turns of each contestant.
    appliances : int
        In the fleet.
    jobs : int
        Of each appliance.
    few_jobs : int
        Of each appliance where every job is a request of its own.
    many_jobs : int
        Of each appliance with a long history.
    sample : int
        Appliances that slow contestants read one after the other.
    requests : int
        Jobs of slow contestants that read job by job, without latency.
    requests_delayed : int
        The same, with latency.
    collected : (int, int)
        Appliances of a large fleet, and the jobs of each.
    bodies : int
        Jobs decoded together.
    bodies_in_turn : int
        Jobs decoded in each turn.
    judged : int
        Appliances that are judged.
    judged_nights : tuple of int
        Nights of their histories, from short to long; a month of the second longest is compared.
    explored : tuple of (int, int)
        Appliances that are explored, and the nights of each.
    reported : tuple of (int, int)
        Appliances that are reported on, and the nights of each.
    kept : tuple of int
        Jobs of the histories that are read, from small to large.
    kept_appliances : int
        Whose jobs these are.
    processes : tuple of (int, int)
        Appliances of which a whole process checks and reports a month, and the nights of each.
    judged_apart : int
        Jobs that are judged in one process and on a cluster.
    thorough : bool
        Whether that is measured, too, which takes long to start: a Dask cluster, the demo, and the
        memory of some processes.
    """

    turns: int
    appliances: int
    jobs: int
    few_jobs: int
    many_jobs: int
    sample: int
    requests: int
    requests_delayed: int
    collected: tuple[int, int]
    bodies: int
    bodies_in_turn: int
    judged: int
    judged_nights: tuple[int, ...]
    explored: tuple[tuple[int, int], ...]
    reported: tuple[tuple[int, int], ...]
    kept: tuple[int, ...]
    kept_appliances: int
    processes: tuple[tuple[int, int], ...]
    judged_apart: int
    thorough: bool = True

    @property
    def judged_jobs(self) -> int:
        """Nights of the history of which a month is judged."""
        return self.judged_nights[-2]


FULL = Scale(
    turns=5,
    appliances=50,
    jobs=400,
    few_jobs=100,
    many_jobs=10_000,
    sample=8,
    requests=300,
    requests_delayed=30,
    collected=(2_000, 30),
    bodies=500_000,
    bodies_in_turn=50_000,
    judged=2_000,
    judged_nights=(100, 500, 1_000),
    explored=((10, 100), (500, 200), (2_000, 500)),
    reported=((50, 30), (2_000, 30)),
    kept=(100_000, 1_000_000),
    kept_appliances=2_000,
    processes=((2_000, 50), (2_000, 500)),
    judged_apart=2_000_000,
)

QUICK = Scale(
    turns=2,
    appliances=10,
    jobs=60,
    few_jobs=30,
    many_jobs=600,
    sample=2,
    requests=60,
    requests_delayed=10,
    collected=(100, 30),
    bodies=20_000,
    bodies_in_turn=4_000,
    judged=50,
    judged_nights=(50, 100, 200),
    explored=((10, 100),),
    reported=((50, 30),),
    kept=(2_000, 20_000),
    kept_appliances=100,
    processes=((200, 40),),
    judged_apart=200_000,
)

TINY = Scale(
    turns=1,
    appliances=2,
    jobs=5,
    few_jobs=3,
    many_jobs=8,
    sample=1,
    requests=3,
    requests_delayed=2,
    collected=(3, 5),
    bodies=800,
    bodies_in_turn=400,
    judged=8,
    judged_nights=(35, 40, 50),
    explored=((3, 20),),
    reported=((3, 20),),
    kept=(200, 400),
    kept_appliances=20,
    processes=((4, 20),),
    judged_apart=4_000,
    thorough=False,
)
