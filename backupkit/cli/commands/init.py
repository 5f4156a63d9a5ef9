"""Command ``backupkit init``: a fleet.toml from a list of hosts."""

import os
import sys
import tomllib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, NamedTuple, TypeVar

import typer

from backupkit.cli.options import echo
from backupkit.cli.outputs import replace_text
from backupkit.cli.sign_in import (
    DEFAULT_PASSWORD,
    DEFAULT_SECRET,
    DEFAULT_USER,
    SignInOptions,
    read_sign_in,
)
from backupkit.errors import OutputError, SettingsError, one_line

if TYPE_CHECKING:
    from backupkit.inventory import ListedHost, Setup

__all__ = ["init"]

T = TypeVar("T")

STDIO: Final = "-"
DEFAULT_RPO: Final = "24h"
_FILES: Final = frozenset({".csv", ".ini", ".json", ".toml", ".tsv", ".txt", ".yaml", ".yml"})
"""Endings of files: a source with one is no host."""


class _Answers(NamedTuple):
    """Values of the options, asked for where they are missing."""

    login: dict[str, Any]
    ca_bundle: str
    rpo: str


def init(  # noqa: PLR0913 # one parameter per option
    sources: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[HOST|FILE]...",
            help="Hosts, or files of them: a list, a CSV file with a header such as "
            "name,host,site,group, an Ansible inventory (INI, or the JSON of ansible-inventory "
            "--list); - reads stdin.",
        ),
    ] = None,
    *,
    user: Annotated[
        str | None,
        typer.Option(
            "--user", metavar="NAME", help=f"User with its SSO domain (default: {DEFAULT_USER})."
        ),
    ] = None,
    password: Annotated[
        str | None,
        typer.Option(
            "--password-from",
            metavar="SOURCE",
            help="Where the password is: env:VARIABLE, file:PATH, keyring:SERVICE, command:PROGRAM "
            f"or prompt (default: {DEFAULT_PASSWORD}).",
        ),
    ] = None,
    token: Annotated[
        str | None,
        typer.Option(
            "--token-from",
            metavar="SOURCE",
            help="In place of user and password: where an access token is, such as "
            "command:print-access-token.",
        ),
    ] = None,
    oauth_url: Annotated[
        str | None,
        typer.Option(
            "--oauth-url",
            metavar="URL",
            help="In place of user and password: token endpoint of the identity provider.",
        ),
    ] = None,
    oauth_client: Annotated[
        str | None,
        typer.Option("--oauth-client", metavar="ID", help="Id of the client, for --oauth-url."),
    ] = None,
    oauth_secret: Annotated[
        str | None,
        typer.Option(
            "--oauth-secret-from",
            metavar="SOURCE",
            help=f"Where the client secret is (default: {DEFAULT_SECRET}).",
        ),
    ] = None,
    oauth_scope: Annotated[
        str | None,
        typer.Option("--oauth-scope", metavar="SCOPE", help="Scope, if the provider needs one."),
    ] = None,
    oauth_ca_bundle: Annotated[
        str | None,
        typer.Option(
            "--oauth-ca-bundle",
            metavar="FILE",
            help="PEM file of the provider's certificate authority (default: those of the system).",
        ),
    ] = None,
    ca_bundle: Annotated[
        str | None,
        typer.Option(
            "--ca-bundle",
            metavar="FILE",
            help="PEM file of the certificate authority (default: those of the system).",
        ),
    ] = None,
    rpo: Annotated[
        str | None,
        typer.Option(
            "--rpo",
            metavar="DURATION",
            help=f"Largest accepted age of the newest backup (default: {DEFAULT_RPO}).",
        ),
    ] = None,
    site: Annotated[
        str | None,
        typer.Option(
            "--site", metavar="NAME", help="Site of the appliances without one in a file."
        ),
    ] = None,
    group: Annotated[
        str | None,
        typer.Option(
            "--group", metavar="NAME", help="Group of the appliances without one in a file."
        ),
    ] = None,
    only: Annotated[
        str | None,
        typer.Option("--only", metavar="GROUP", help="Read only this group of the files."),
    ] = None,
    discover: Annotated[
        bool,
        typer.Option(
            "--discover", help="Also add the other vCenters of the hosts' SSO domains: logs in."
        ),
    ] = False,
    output: Annotated[
        str,
        typer.Option("--output", "-o", metavar="FILE|-", help="File to write, or - for stdout."),
    ] = "fleet.toml",
    force: Annotated[bool, typer.Option("--force", help="Replace an existing file.")] = False,
    yes: Annotated[
        bool, typer.Option("--yes", "-y", help="Ask nothing; take the defaults.")
    ] = False,
    example: Annotated[
        bool, typer.Option("--example", help="Print an example with all keys, and write no file.")
    ] = False,
) -> None:
    """Write a fleet.toml with one line for each appliance.

    At a terminal, it asks for what no option states. The file is checked before it is written. It
    holds no password, token or client secret, only where it is.
    """
    from backupkit.inventory import format_fleet, name_hosts, read_example  # noqa: PLC0415

    if example:
        echo(read_example().rstrip("\n"))
        return
    if output != STDIO and Path(output).is_dir():
        raise OutputError(f"{output}: is a folder. Name a file with --output.")
    if output != STDIO and Path(output).exists() and not force:
        raise OutputError(
            f"{output}: exists already. Choose another file with --output, replace it with "
            "--force, or print with --output -"
        )
    asks = not yes and STDIO not in (sources or []) and sys.stdin.isatty() and sys.stderr.isatty()
    if not sources and asks:
        sources = _ask("vCenter hosts, or a file of them", None).split()
    hosts = name_hosts(list(_read_sources(sources or [], only=only)))
    if not hosts:
        raise SettingsError(
            "no host: name the hosts, or a file of them, for example: "
            "backupkit init vc-1.example.com vc-2.example.com"
        )
    options = SignInOptions(
        user=user,
        password=password,
        token=token,
        oauth_url=oauth_url,
        oauth_client=oauth_client,
        oauth_secret=oauth_secret,
        oauth_scope=oauth_scope,
        oauth_ca_bundle=oauth_ca_bundle,
    )
    answers = _Answers(
        read_sign_in(options, _ask if asks else None),
        (_ask("CA bundle of the appliances (empty: the system's)", "") if asks else "")
        if ca_bundle is None
        else ca_bundle,
        rpo or (_ask("RPO", DEFAULT_RPO) if asks else DEFAULT_RPO),
    )
    setup = _prepare(answers, site=site, group=group, output=output)
    if discover:
        hosts = _discover(hosts, answers)
    text = format_fleet(hosts, setup)
    _check(text, hosts, setup, output=output)
    if output == STDIO:
        echo(text.rstrip("\n"))
        return
    _write(Path(output), text, force=force)
    plural = "" if len(hosts) == 1 else "s"
    echo(f"{output}: {len(hosts)} appliance{plural}. {_format_next_step(setup, output)}", err=True)


def _discover(hosts: Sequence["ListedHost"], answers: _Answers) -> list["ListedHost"]:
    """Return hosts, and the other vCenters of their SSO domains."""
    from backupkit.diagnostics import discover  # noqa: PLC0415 # loads requests
    from backupkit.fleet import Appliance  # noqa: PLC0415
    from backupkit.inventory import ListedHost, name_hosts, parse_host  # noqa: PLC0415

    found = discover(
        [
            Appliance(
                name=str(host.name),
                host=host.host,
                **answers.login,
                ca_bundle=Path(answers.ca_bundle) if answers.ca_bundle else None,
                options=("--user", "--password-from", "--ca-bundle"),
            )
            for host in hosts
        ]
    )
    for name, reason in (found.unread | found.too_old).items():
        echo(
            f"{one_line(name)}: its SSO domain is unknown: {one_line(reason, limit=400)}", err=True
        )
    more = [ListedHost(host=parse_host(node.host)) for node in found.missing]
    if more:
        echo(
            f"Found in the SSO domain: {', '.join(one_line(host.host) for host in more)}", err=True
        )
    return [*hosts, *name_hosts(more, taken=[str(host.name) for host in hosts])]


def _ask(question: str, default: str | None) -> str:
    answer: str = typer.prompt(question, default=default, show_default=bool(default), err=True)
    return answer.strip()


def _read_sources(sources: Iterable[str], *, only: str | None) -> Iterator["ListedHost"]:
    """Yield the hosts of arguments: files, stdin, or the hosts themselves."""
    from backupkit.inventory import ListedHost, parse_host, read_source, read_text  # noqa: PLC0415

    for source in sources:
        path = Path(source)
        if source == STDIO:
            yield from read_text(sys.stdin.read(), source="stdin", only=only)
        elif _looks_like_path(source) or path.is_file():
            yield from read_source(path, only=only)
        else:
            yield ListedHost(host=parse_host(source))


def _looks_like_path(source: str) -> bool:
    """Return whether a source cannot be a host, so that a missing file is named as one."""
    is_url = "://" in source
    return not is_url and (Path(source).suffix.lower() in _FILES or "/" in source)


def _prepare(answers: _Answers, *, site: str | None, group: str | None, output: str) -> "Setup":
    """Return what the file says about all appliances; paths become relative to its folder."""
    from backupkit.inventory import Setup  # noqa: PLC0415 # keeps --help fast
    from backupkit.settings import check_text  # noqa: PLC0415

    check_text(answers.ca_bundle, where="--ca-bundle")
    if answers.ca_bundle and not Path(answers.ca_bundle).is_file():
        raise SettingsError(f'--ca-bundle: no such file "{one_line(answers.ca_bundle)}".')

    def locate(path: str) -> str:
        here = output == STDIO or Path(output).resolve().parent == Path.cwd()
        return path if here or Path(path).is_absolute() else str(Path(path).absolute())

    login = dict(answers.login)
    source, provider = login["password"], login.get("provider")
    if source.kind == "file":
        login["password"] = replace(source, place=locate(source.place))
    if provider is not None and provider.ca_bundle is not None:
        login["provider"] = replace(provider, ca_bundle=Path(locate(str(provider.ca_bundle))))
    return Setup(
        **login,
        rpo=answers.rpo,
        ca_bundle=locate(answers.ca_bundle) if answers.ca_bundle else None,
        site=site,
        group=group,
    )


def _check(text: str, hosts: Sequence["ListedHost"], setup: "Setup", *, output: str) -> None:
    """Raise unless the text is a fleet.toml that the other commands can read."""
    from backupkit.fleet import Appliance, Fleet  # noqa: PLC0415 # keeps --help fast
    from backupkit.policy import Policy  # noqa: PLC0415
    from backupkit.settings import SettingsFile  # noqa: PLC0415

    for host in hosts:
        _name_place(
            lambda host=host: Appliance(  # type: ignore[misc] # called at once
                name=str(host.name),
                host=host.host,
                user=setup.user,
                password=setup.password,
                login=setup.login,
                provider=setup.provider,
                **host.keys,
            ),
            host.place,
        )
    path = Path("fleet.toml" if output == STDIO else output)
    file = SettingsFile(path, tomllib.loads(text))
    Fleet.load(file)
    Policy.load(file)


def _name_place(build: Callable[[], T], place: str) -> T:
    """Return what a function returns; its error begins with the place in a file."""
    try:
        return build()
    except SettingsError as error:
        raise SettingsError(f"{place}: {error}" if place else str(error)) from error


def _write(path: Path, text: str, *, force: bool) -> None:
    if force:
        replace_text(path, text)
        return
    try:
        with path.open("x", encoding="utf-8", newline="\n") as file:
            file.write(text)
    except OSError as error:
        raise OutputError(
            f"{path}: cannot be written: {error.strerror}. Check that its folder exists and that "
            "you may write to it."
        ) from error


def _format_next_step(setup: "Setup", output: str) -> str:
    source = setup.password
    is_there = {
        "env": source.place in os.environ,
        "file": Path(source.place).is_file(),  # as relative as the one to fleet.toml
    }.get(source.kind, False)
    store = {
        "env": f"Set {source.place} to the {source.secret}, then run:",
        "file": f"Write the {source.secret} into {source.place}, then run:",
        "keyring": f"Run: keyring set {source.place} {setup.account}, then:",
    }.get("" if is_there else source.kind, "Next:")
    fleet = "" if output == "fleet.toml" else f" --fleet {output}"
    return f"{one_line(store, limit=400)} backupkit doctor{fleet}"
