"""Sizes of the benchmarks: complete and quick."""

from dataclasses import dataclass

__all__ = ["FULL", "QUICK", "Scale"]


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
    bodies : int
        Jobs decoded together.
    bodies_in_turn : int
        Jobs decoded in each turn.
    judged : int
        Appliances that are judged.
    judged_jobs : int
        Nights of each of them.
    explored : tuple of (int, int)
        Appliances that are explored, and the nights of each.
    reported : tuple of (int, int)
        Appliances that are reported on, and the nights of each.
    kept : tuple of int
        Jobs of the histories that are read, from small to large.
    kept_appliances : int
        Whose jobs these are.
    judged_apart : int
        Jobs that are judged in one process and on a cluster.
    """

    turns: int
    appliances: int
    jobs: int
    few_jobs: int
    many_jobs: int
    sample: int
    requests: int
    requests_delayed: int
    bodies: int
    bodies_in_turn: int
    judged: int
    judged_jobs: int
    explored: tuple[tuple[int, int], ...]
    reported: tuple[tuple[int, int], ...]
    kept: tuple[int, ...]
    kept_appliances: int
    judged_apart: int


FULL = Scale(
    turns=5,
    appliances=50,
    jobs=400,
    few_jobs=100,
    many_jobs=10_000,
    sample=8,
    requests=300,
    requests_delayed=30,
    bodies=1_000_000,
    bodies_in_turn=50_000,
    judged=2_000,
    judged_jobs=500,
    explored=((10, 100), (500, 200), (2_000, 500)),
    reported=((50, 30), (2_000, 30)),
    kept=(100_000, 1_000_000, 5_000_000),
    kept_appliances=2_000,
    judged_apart=10_000_000,
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
    bodies=20_000,
    bodies_in_turn=4_000,
    judged=50,
    judged_jobs=100,
    explored=((10, 100),),
    reported=((50, 30),),
    kept=(2_000, 20_000),
    kept_appliances=100,
    judged_apart=200_000,
)
