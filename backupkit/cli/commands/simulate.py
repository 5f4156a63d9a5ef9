"""Commands ``backupkit simulate`` and ``backupkit demo``: a fleet without a vCenter."""

import json
import shlex
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

import backupkit as bk
from backupkit.cli.commands.check import assess, format_verdict
from backupkit.cli.commands.collect import collect_and_store
from backupkit.cli.options import echo
from backupkit.cli.outputs import refuse_foreign_fleet
from backupkit.cli.selection import Selection
from backupkit.errors import OutputError, SettingsError, describe_installation, one_line
from backupkit.simulator.faults.fault import ROUTES, describe_kinds

__all__ = ["demo", "simulate"]


def simulate(  # noqa: PLR0913 # one parameter per option
    *,
    appliances: Annotated[
        int, typer.Option(metavar="N", min=1, max=2_000, help="Number of appliances.")
    ] = 12,
    jobs: Annotated[
        int, typer.Option(metavar="N", min=1, help="Finished jobs per appliance at the start.")
    ] = 90,
    flavour: Annotated[
        str | None,
        typer.Option(
            metavar="LIST",
            help="API flavours, assigned to the appliances in turn: api (both flavours), "
            "rest (only the older one), api-only (only the newer one).  [default: api,rest; with "
            "an identity provider: api]",
        ),
    ] = None,
    latency: Annotated[
        float, typer.Option(metavar="MS", min=0, help="Delay of each response [ms].")
    ] = 0.0,
    fault: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KIND=RATE",
            help="Share of the requests that fail; also KIND=RATE@APPLIANCE or "
            "KIND=RATE@APPLIANCE:ROUTE, with patterns such as vc-00*; repeatable. "
            f"Routes: {', '.join(ROUTES)}, and data, the default: all but log-in and log-out. "
            f"Kinds:\n\n\b\n{describe_kinds()}",
        ),
    ] = None,
    seed: Annotated[int, typer.Option(metavar="N", help="The same seed gives the same fleet.")] = 1,
    host: Annotated[str, typer.Option(metavar="HOST", help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(metavar="PORT", min=0, max=65_535, help="First port; 0 = free ports.")
    ] = 0,
    write_fleet: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Write a fleet.toml, with CA bundle and file of the secret."
        ),
    ] = None,
    identity_provider: Annotated[
        bool,
        typer.Option(
            "--identity-provider",
            help="Also serve an identity provider, whose access tokens the appliances exchange; "
            "they refuse passwords, as with multi-factor authentication. Needs --write-fleet.",
        ),
    ] = False,
    for_seconds: Annotated[
        float | None, typer.Option("--for", metavar="SECONDS", min=0, help="Stop after this time.")
    ] = None,
) -> int:
    """Serve a simulated fleet over HTTPS until Ctrl-C."""
    flavours = _parse_flavours(flavour, identity_provider=identity_provider)
    if identity_provider and write_fleet is None:
        raise SettingsError(
            "--identity-provider needs --write-fleet: the file says how to sign in; for example: "
            "--write-fleet simulated.toml"
        )
    provider = bk.simulator.IdentityProvider() if identity_provider else None
    if write_fleet is not None:
        refuse_foreign_fleet(write_fleet, option="--write-fleet")
    _check_installation()
    scenario = bk.simulator.Scenario.steady(
        appliances=appliances, jobs=jobs, seed=seed, epoch=datetime.now(UTC), flavours=flavours
    )
    try:
        faults = [bk.simulator.Fault.parse(text) for text in fault or []]
        with bk.simulator.SimulatedFleet(
            scenario,
            latency=latency / 1_000,
            host=host,
            port=port,
            faults=faults,
            provider=provider,
        ) as fleet:
            if write_fleet is not None:
                secret = _write_fleet(fleet, write_fleet)
                echo(f"{write_fleet}: {_describe_size(appliances, jobs)}.", err=True)
                if provider is not None:
                    _require_tokens(fleet)
                    _print_provider(provider, secret, write_fleet)
            for appliance in fleet.appliances:
                echo(f"{appliance.name}\thttps://{appliance.host}")
            echo("Running; stop with Ctrl-C.", err=True)
            sys.stdout.flush()
            _wait_for_interrupt(for_seconds)
    except ValueError as error:
        raise SettingsError(f"--fault: {error}") from error
    except OSError as error:
        raise OutputError(f"The simulator cannot start: {error.strerror or error}.") from error
    return 0


def _check_installation() -> None:
    """Raise if the simulator's own dependency is missing."""
    try:
        import trustme  # noqa: F401, PLC0415 # optional
    except ImportError as error:
        raise SettingsError(
            f"The simulator needs trustme. {describe_installation('demo')}"
        ) from error


def _describe_size(appliances: int, jobs: int) -> str:
    plural = "" if appliances == 1 else "s"
    more = "" if jobs == 1 else "s"
    return f"{appliances} appliance{plural}, {jobs} job{more} each"


def _parse_flavours(text: str | None, *, identity_provider: bool) -> tuple[str, ...]:
    if text is None:
        return ("api",) if identity_provider else ("api", "rest")
    flavours = tuple(dict.fromkeys(word.strip() for word in text.split(",")))
    if not set(flavours) <= {"api", "rest", "api-only"}:
        raise SettingsError(
            f'--flavour: "{text}" must be a list of api, rest and api-only, such as api,rest.'
        )
    if identity_provider and "rest" in flavours:
        raise SettingsError(
            "--flavour: rest is before 7.0 Update 2, which exchanges no access tokens. Leave rest "
            "or --identity-provider out."
        )
    return flavours


def _require_tokens(fleet: "bk.simulator.SimulatedFleet") -> None:
    """Refuse passwords, as with multi-factor authentication."""
    for appliance in fleet.appliances:
        fleet.refuse_passwords(appliance.name)


def _print_provider(provider: "bk.simulator.IdentityProvider", secret: Path, fleet: Path) -> None:
    """Print what a client needs, and the command that tries it."""
    echo(f"Token endpoint: {provider.url}", err=True)
    echo(f"Client id:      {provider.client}", err=True)
    echo(f"Client secret:  in {secret}", err=True)
    echo(f"In {fleet}: oauth = {{ ... }} has these. The appliances refuse passwords.", err=True)
    echo(f"Try: backupkit doctor {shlex.join(['--fleet', str(fleet)])}", err=True)


def _write_fleet(fleet: "bk.simulator.SimulatedFleet", path: Path) -> Path:
    try:
        return fleet.write_fleet(path)
    except OSError as error:
        raise OutputError(
            f"{one_line(str(path))} cannot be written: {error.strerror}. Use another --write-fleet."
        ) from error


def demo(
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder for history and report.")] = Path(
        "demo"
    ),
    *,
    seed: Annotated[int, typer.Option(metavar="N", help="The same seed gives the same fleet.")] = 1,
) -> int:
    """Simulate 12 appliances over HTTPS; collect, store, assess, and write the report."""
    from backupkit.settings import read_toml  # noqa: PLC0415 # keeps --help fast

    fleet_file = out / "fleet.toml"
    refuse_foreign_fleet(fleet_file, option="--out")
    _check_installation()
    scenario = bk.simulator.Scenario.demo(seed=seed, epoch=_find_demo_epoch(out, seed))
    with bk.simulator.SimulatedFleet(scenario) as fleet:
        fleet.write_fleet(fleet_file)
        echo(f"Simulated {len(fleet.appliances)} appliances over HTTPS on loopback.", err=True)
        history, file = bk.History(out / "history.db"), read_toml(fleet_file)
        collect_and_store(bk.Fleet.load(file), history)
    assessment = assess(history.uri, file, Selection(), last="30d")
    paths = bk.report(assessment).save(out / "report.html")
    echo(format_verdict(assessment))
    echo(f"Report: {paths[0].resolve()}")
    return 0


def _find_demo_epoch(out: Path, seed: int) -> datetime:
    """Return the reference time of the demo: that of its first run, so a later one continues."""
    story_file = out / "story.json"
    try:
        out.mkdir(parents=True, exist_ok=True)
        if story_file.exists():
            story = json.loads(story_file.read_text(encoding="utf-8"))
            if story["seed"] != seed:
                raise SettingsError(
                    f"{out} contains the demo of seed {story['seed']}. For seed {seed} use "
                    "another --out, or remove the folder."
                )
            return datetime.fromisoformat(story["epoch"])
        if (out / "history.db").exists():
            raise OutputError(
                f"{out} contains a history that is not of the demo. Use another --out."
            )
        epoch = datetime.now(UTC).replace(microsecond=0)
        story_file.write_text(
            json.dumps({"seed": seed, "epoch": epoch.isoformat()}), encoding="utf-8"
        )
    except OSError as error:
        raise OutputError(
            f"{out} cannot be written: {error.strerror}. Use another --out."
        ) from error
    except (ValueError, KeyError, TypeError) as error:
        raise SettingsError(
            f"{story_file} is damaged; remove {out} and run the demo again."
        ) from error
    return epoch


def _wait_for_interrupt(seconds: float | None) -> None:
    """Wait until Ctrl-C, or for a number of seconds [s]."""
    end = None if seconds is None else time.monotonic() + seconds
    try:
        while end is None or time.monotonic() < end:
            time.sleep(1 if end is None else min(1, max(0, end - time.monotonic())))
    except KeyboardInterrupt:
        echo("Stopped.", err=True)
