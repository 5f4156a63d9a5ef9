"""Text of a fleet.toml: one line for each appliance."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from backupkit.inventory.hosts import ListedHost
from backupkit.passwords import IdentityProvider, PasswordSource, split_command

__all__ = ["KEYS", "Setup", "format_appliance", "format_fleet", "quote"]

KEYS: Final = ("site", "group", "timezone")
"""Keys of an appliance that a list may have, beside its name and its host."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """Content of a new fleet.toml that holds for all appliances.

    Attributes
    ----------
    user : str
        User name with SSO domain; empty unless `login` is "password".
    password : PasswordSource
        Source of the password, access token or client secret; a file relative to fleet.toml.
    login : {"password", "token", "oauth"}
        Use of the secret at the login.
    provider : IdentityProvider, optional
        Issuer of the access tokens, if `login` is "oauth".
    rpo : str
        Largest accepted age of the newest backup, as a duration such as ``24h``.
    ca_bundle : str, optional
        PEM file of the certificate authority, relative to fleet.toml.
    site, group : str, optional
        Labels of the appliances that have none of their own.
    """

    user: str = ""
    password: PasswordSource
    login: Literal["password", "token", "oauth"] = "password"
    provider: IdentityProvider | None = None
    rpo: str = "24h"
    ca_bundle: str | None = None
    site: str | None = None
    group: str | None = None

    @property
    def account(self) -> str:
        """User, or OAuth 2.0 client, whose secret `password` is."""
        return self.provider.client if self.provider else self.user or self.login


def quote(text: str) -> str:
    r"""Return a text as a basic string of TOML.

    Examples
    --------
    >>> quote('a "b" ü')
    '"a \\"b\\" ü"'
    """
    # the escapes of JSON are escapes of TOML; what cannot be printed is escaped, too
    quoted = json.dumps(text, ensure_ascii=False)
    return "".join(char if char.isprintable() else f"\\U{ord(char):08X}" for char in quoted)


def format_appliance(host: ListedHost) -> str:
    """Return an appliance as an inline table of TOML.

    Examples
    --------
    >>> format_appliance(ListedHost(host="vc-1.test", name="vc-1", keys={"site": "Kiel"}))
    '{ name = "vc-1", host = "vc-1.test", site = "Kiel" }'
    """
    entries = {"name": str(host.name), "host": host.host}
    entries |= {key: host.keys[key] for key in KEYS if key in host.keys}
    return f"{{ {', '.join(f'{key} = {quote(value)}' for key, value in entries.items())} }}"


def format_fleet(hosts: Sequence[ListedHost], setup: Setup) -> str:
    """Return the text of a fleet.toml.

    Parameters
    ----------
    hosts : sequence of ListedHost
        Appliances, with names.
    setup : Setup
        What holds for all of them.

    Returns
    -------
    str
        TOML that `Fleet.load` and `Policy.load` read.

    Examples
    --------
    >>> setup = Setup(user="reader@vsphere.local", password=PasswordSource("env", "SECRET"))
    >>> print(format_fleet([ListedHost(host="vc-1.test", name="vc-1")], setup))
    # Appliances, where their secret is, and the SLA. All keys: backupkit init --example
    appliance = [ # a line each; this list stays above the first [table]
      { name = "vc-1", host = "vc-1.test" },
    ]
    <BLANKLINE>
    [defaults] # of every appliance; its own line may state another value
    user = "reader@vsphere.local" # member of the SSO group SystemConfiguration.Administrators
    password = { env = "SECRET" } # or file = "path", keyring = "name", command = ["pass", "vc"]
    # ca_bundle = "ca.pem" # authority of the certificates, if the system does not trust it
    <BLANKLINE>
    [policy]
    rpo = "24h" # largest accepted age of the newest backup
    <BLANKLINE>
    """
    return "\n".join([*_lines(hosts, setup), ""])


def _lines(hosts: Sequence[ListedHost], setup: Setup) -> Iterator[str]:
    yield "# Appliances, where their secret is, and the SLA. All keys: backupkit init --example"
    yield "appliance = [ # a line each; this list stays above the first [table]"
    yield from (f"  {format_appliance(host)}," for host in hosts)
    yield "]"
    yield ""
    yield "[defaults] # of every appliance; its own line may state another value"
    yield from _format_login(setup)
    comment = "# authority of the certificates, if the system does not trust it"
    if setup.ca_bundle is None:
        yield f'# ca_bundle = "ca.pem" {comment}'
    else:
        yield f"ca_bundle = {quote(setup.ca_bundle)} {comment}"
    for key, label in (("site", setup.site), ("group", setup.group)):
        if label is not None:
            yield f"{key} = {quote(label)}"
    yield ""
    yield "[policy]"
    yield f"rpo = {quote(setup.rpo)} # largest accepted age of the newest backup"


def _format_login(setup: Setup) -> Iterator[str]:
    """Yield the keys that say how to log in."""
    group = "member of the SSO group SystemConfiguration.Administrators"
    source = f"{{ {_format_source(setup.password)} }}"
    if setup.provider is not None:
        provider = setup.provider
        keys = {"url": quote(provider.url), "client": quote(provider.client), "secret": source}
        if provider.scope is not None:
            keys["scope"] = quote(provider.scope)
        if provider.ca_bundle is not None:
            keys["ca_bundle"] = quote(str(provider.ca_bundle))
        yield f"# the client is a {group}"
        yield f"oauth = {{ {', '.join(f'{key} = {value}' for key, value in keys.items())} }}"
    elif setup.login == "token":
        yield f"token = {source} # its user is a {group}"
    else:
        yield f"user = {quote(setup.user)} # {group}"
        comment = '# or file = "path", keyring = "name", command = ["pass", "vc"]'
        yield f"password = {source} {comment}"


def _format_source(source: PasswordSource) -> str:
    if source.kind == "prompt":
        return "prompt = true"
    if source.kind == "command":
        arguments = split_command(source.place, where="command")
        return f"command = [{', '.join(map(quote, arguments))}]"
    return f"{source.kind} = {quote(source.place)}"
