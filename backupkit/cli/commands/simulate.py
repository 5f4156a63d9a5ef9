"""Commands ``backupkit simulate`` and ``backupkit demo``: a fleet without a vCenter."""

import json
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

import backupkit as bk
from backupkit.cli.commands.check import assess, verdict_line
from backupkit.cli.commands.collect import collect_into
from backupkit.errors import OutputError, SettingsError
from backupkit.simulator.faults.fault import ROUTES, describe_kinds

__all__ = ["demo", "simulate"]


def simulate(  # noqa: PLR0913 # one parameter per option
    *,
    appliances: Annotated[int, typer.Option(min=1, max=2_000, help="How many appliances.")] = 12,
    jobs: Annotated[int, typer.Option(min=1, help="Finished jobs of each at the start.")] = 90,
    flavour: Annotated[
        str,
        typer.Option(
            help="What appliances speak, in turn: api (both flavours), "
            "rest (the legacy one alone), api-only (the newer one alone)."
        ),
    ] = "api,rest",
    latency: Annotated[float, typer.Option(min=0, help="Added to each answer [ms].")] = 0.0,
    fault: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KIND=RATE",
            help="Let a share of the requests fail, also KIND=RATE@APPLIANCE or "
            "KIND=RATE@APPLIANCE:ROUTE with patterns such as vc-00*; may be given more than "
            f"once. Routes are {', '.join(ROUTES)}, and data: all but log-in and log-out, "
            f"which is meant without a route. Kinds are:\n\n\b\n{describe_kinds()}",
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="The same seed tells the same story.")] = 1,
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(min=0, max=65_535, help="The first port; 0 picks free ones.")
    ] = 0,
    write_fleet: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write a fleet.toml, its authority and its password."),
    ] = None,
    for_seconds: Annotated[
        float | None, typer.Option("--for", min=0, help="Stop by itself after so long [s].")
    ] = None,
) -> int:
    """Run a simulated fleet over HTTPS until stopped."""
    flavours = tuple(dict.fromkeys(word.strip() for word in flavour.split(",")))
    if not set(flavours) <= {"api", "rest", "api-only"}:
        raise SettingsError(
            f'--flavour: "{flavour}" must be some of api, rest and api-only, as in api,rest.'
        )
    scenario = bk.simulator.Scenario.steady(
        appliances=appliances, jobs=jobs, seed=seed, epoch=datetime.now(UTC), flavours=flavours
    )
    try:
        faults = [bk.simulator.Fault.parse(text) for text in fault or []]
        with bk.simulator.SimulatedFleet(
            scenario, latency=latency / 1_000, host=host, port=port, faults=faults
        ) as fleet:
            if write_fleet is not None:
                fleet.write_fleet(write_fleet)
                typer.echo(f"{write_fleet}: {appliances} appliances, {jobs} jobs each.", err=True)
            for appliance in fleet.appliances:
                typer.echo(f"{appliance.name}\thttps://{appliance.host}")
            typer.echo("Running; stop with Ctrl-C.", err=True)
            sys.stdout.flush()
            _wait(for_seconds)
    except ValueError as error:
        raise SettingsError(f"--fault: {error}") from error
    except OSError as error:
        raise OutputError(f"The simulator cannot start: {error.strerror or error}.") from error
    return 0


def demo(
    out: Annotated[Path, typer.Option(metavar="DIR", help="Where history and report go.")] = Path(
        "demo"
    ),
    *,
    seed: Annotated[int, typer.Option(help="The same seed tells the same story.")] = 1,
) -> int:
    """Simulate 12 appliances over HTTPS, collect, keep, judge, and write the report."""
    fleet_file = out / "fleet.toml"
    scenario = bk.simulator.Scenario.demo(seed=seed, epoch=_demo_epoch(out, seed))
    with bk.simulator.SimulatedFleet(scenario) as fleet:
        fleet.write_fleet(fleet_file)
        typer.echo(
            f"Simulated {len(fleet.appliances)} appliances over HTTPS on loopback.", err=True
        )
        history = bk.History(out / "history.db")
        collect_into(bk.Fleet.load(fleet_file), history)
    assessment = assess(history.uri, fleet_file, last="30d")
    paths = bk.report(assessment).save(out / "report.html")
    typer.echo(verdict_line(assessment))
    typer.echo(f"Report: {paths[0].resolve()}")
    return 0


def _demo_epoch(out: Path, seed: int) -> datetime:
    """Return the reference time of the demo: that of its first run, so a later one continues."""
    story_file = out / "story.json"
    try:
        out.mkdir(parents=True, exist_ok=True)
        if story_file.exists():
            story = json.loads(story_file.read_text(encoding="utf-8"))
            if story["seed"] != seed:
                raise SettingsError(
                    f"{out} holds the demo of seed {story['seed']}; give another --out for "
                    f"seed {seed}, or remove it."
                )
            return datetime.fromisoformat(story["epoch"])
        epoch = datetime.now(UTC).replace(microsecond=0)
        story_file.write_text(
            json.dumps({"seed": seed, "epoch": epoch.isoformat()}), encoding="utf-8"
        )
    except OSError as error:
        raise OutputError(
            f"{out} cannot be written: {error.strerror}. Give another --out."
        ) from error
    except (ValueError, KeyError, TypeError) as error:
        raise SettingsError(
            f"{story_file} is damaged; remove {out} and run the demo again."
        ) from error
    return epoch


def _wait(seconds: float | None) -> None:
    """Wait until Ctrl-C, or for a number of seconds [s]."""
    end = None if seconds is None else time.monotonic() + seconds
    try:
        while end is None or time.monotonic() < end:
            time.sleep(1 if end is None else min(1, max(0, end - time.monotonic())))
    except KeyboardInterrupt:
        typer.echo("Stopped.", err=True)
