"""Print the tables of docs/sla.md: `python -m tests.simulations`."""

from tests.simulations.shared_values import simulate_false_findings, simulate_power

NIGHTS = 300


def print_shared_values() -> None:
    """Print false findings and power of figure 26."""
    print("| Appliances | Nights with a finding | Cluster | Nights in which it is named |")
    print("| --- | --- | --- | --- |")
    clusters = {12: None, 50: (6, 5), 200: (10, 10), 2000: (5, 40)}
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


if __name__ == "__main__":
    print_shared_values()
