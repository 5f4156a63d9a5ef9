"""Print the tables of docs/sla.md: `python -m tests.simulations`."""

from tests.simulations.durations import count_doublings, count_false_alarms
from tests.simulations.shared_values import simulate_false_findings, simulate_power

NIGHTS = 300


def print_shared_values() -> None:
    """Print false findings and power of figure 26."""
    print("| Appliances | Nights with a finding | Cluster | Nights in which it is named |")
    print("| --- | --- | --- | --- |")
    clusters = {12: None, 50: (6, 5), 200: (10, 10), 2_000: (5, 40)}
    for size, cluster in clusters.items():
        false = simulate_false_findings(size, NIGHTS)
        power = "| |"
        if cluster:
            failing, targets = cluster
            named = simulate_power(size, failing, targets, NIGHTS)
            power = (
                f"| {failing} of {size:,} on one of {targets} targets "
                f"| {named:,} of {NIGHTS:,} ({named / NIGHTS:.1%}) |"
            )
        print(f"| {size:,} | {false:,} of {NIGHTS:,} ({false / NIGHTS:.1%}) {power}")


def print_durations() -> None:
    """Print false alarms and power of figure 19."""
    print("| Noise | Runs 1.5 times as long | Weeks | Anomalies of a duration | of a size |")
    print("| --- | --- | --- | --- | --- |")
    for name, degrees, slow, seeds in (
        ("normal", None, 0.0, 6),
        ("normal", None, 1 / 500, 6),
        ("Student's t, 5 degrees", 5.0, 0.0, 1),
        ("Student's t, 3 degrees", 3.0, 0.0, 1),
    ):
        counts = [
            count_false_alarms(2_000, 28, degrees=degrees, slow=slow, seed=seed)
            for seed in range(1, seeds + 1)
        ]
        found = {kind: sum(count[kind] for count in counts) for kind in ("duration", "size")}
        often = "1 in 500" if slow else "none"
        print(f"| {name} | {often} | {4 * seeds} | {found['duration']} | {found['size']} |")
    print("| Spread | Named in the first night | Named in a week |")
    print("| --- | --- | --- |")
    for sigma in (0.05, 0.08, 0.10, 0.12, 0.15, 0.20, 0.25):
        first, week = (count_doublings(1_000, sigma, lasting=nights) for nights in (1, 7))
        print(f"| {sigma:.0%} | {first:,} of 1,000 | {week:,} of 1,000 |")


if __name__ == "__main__":
    print_durations()
    print_shared_values()
