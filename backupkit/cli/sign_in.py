"""Options and questions of ``backupkit init`` that say how to sign in."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from backupkit.errors import SettingsError, one_line

if TYPE_CHECKING:
    from backupkit.passwords import PasswordSource

__all__ = ["DEFAULT_PASSWORD", "DEFAULT_SECRET", "DEFAULT_USER", "SignInOptions", "read_sign_in"]

DEFAULT_USER: Final = "backup-reader@vsphere.local"
DEFAULT_PASSWORD: Final = "env:BACKUPKIT_PASSWORD"  # noqa: S105 # its source
DEFAULT_TOKEN: Final = "env:BACKUPKIT_TOKEN"  # noqa: S105 # its source
DEFAULT_SECRET: Final = "env:BACKUPKIT_SECRET"  # noqa: S105 # its source

_FORMS: Final = "(env:, file:, keyring:, command:)"
"""Most forms of a source, short enough for a line of 80 characters with the default."""

Ask = Callable[[str, str | None], str]
"""Asks a question with a default, and returns the answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SignInOptions:
    """Values of the options; None where one is missing."""

    user: str | None
    password: str | None
    token: str | None
    oauth_url: str | None
    oauth_client: str | None
    oauth_secret: str | None
    oauth_scope: str | None
    oauth_ca_bundle: str | None

    @property
    def kinds(self) -> list[str]:
        """Kinds of login that the options state."""
        stated = {
            "password": (self.user, self.password),
            "token": (self.token,),
            "oauth": (
                *(self.oauth_url, self.oauth_client, self.oauth_secret),
                *(self.oauth_scope, self.oauth_ca_bundle),
            ),
        }
        return [kind for kind, values in stated.items() if set(values) != {None}]


def read_sign_in(given: SignInOptions, ask: Ask | None) -> dict[str, Any]:
    """Return the fields of an appliance that say how to log in.

    Parameters
    ----------
    given : SignInOptions
        Stated options.
    ask : callable, optional
        Asks for what they do not state; without it, the defaults hold.

    Raises
    ------
    SettingsError
        If options exclude each other, one is missing, or a value is wrong.
    """
    kinds = given.kinds
    if len(kinds) > 1:
        raise SettingsError(
            "state one way to sign in: --user and --password-from, or --token-from, or "
            "--oauth-url and --oauth-client."
        )
    if kinds or ask is None:
        kind = kinds[0] if kinds else "password"
    else:
        kind = ask("Sign in by (password, token, oauth)", "password")
    match kind:
        case "password":
            user = _answer(given.user, ask, "User", DEFAULT_USER)
            source = _answer(given.password, ask, f"Password from {_FORMS}", DEFAULT_PASSWORD)
            return {"user": user, "password": _parse(source, "--password-from", "password")}
        case "token":
            source = _answer(given.token, ask, f"Access token from {_FORMS}", DEFAULT_TOKEN)
            parsed = _parse(source, "--token-from", "access token")
            if parsed.kind == "prompt":
                raise SettingsError(
                    "--token-from: a token cannot be typed; for example: --token-from "
                    '"command:print-access-token"'
                )
            return {"login": "token", "password": parsed}
        case "oauth":
            return _read_client(given, ask)
    raise SettingsError(  # without the answer, which may be a secret
        "answer with one of the words password, token and oauth: backupkit asks for the place of "
        "the secret, never for the secret itself."
    )


def _read_client(given: SignInOptions, ask: Ask | None) -> dict[str, Any]:
    """Return the fields of a login as a client of an identity provider."""
    from backupkit.passwords import IdentityProvider  # noqa: PLC0415 # keeps --help fast

    url = _answer(given.oauth_url, ask, "Token endpoint (URL)", None)
    client = _answer(given.oauth_client, ask, "Client id", None)
    if not url or not client:
        raise SettingsError(
            "--oauth-url and --oauth-client go together; for example: --oauth-url "
            "https://idp.example.com/acs/t/CUSTOMER/token --oauth-client backupkit"
        )
    secret = _answer(given.oauth_secret, ask, f"Client secret from {_FORMS}", DEFAULT_SECRET)
    scope = _answer(given.oauth_scope, ask, "Scope (empty: the provider's own)", "")
    bundle = _answer(
        given.oauth_ca_bundle, ask, "CA bundle of the identity provider (empty: the system's)", ""
    )
    if bundle and not Path(bundle).is_file():
        raise SettingsError(f'--oauth-ca-bundle: no such file "{one_line(bundle)}".')
    provider = IdentityProvider(
        url=url,
        client=client,
        scope=scope or None,
        ca_bundle=Path(bundle) if bundle else None,
    )
    source = _parse(secret, "--oauth-secret-from", "client secret")
    return {"login": "oauth", "password": source, "provider": provider}


def _answer(given: str | None, ask: Ask | None, question: str, default: str | None) -> str:
    """Return what an option states, or else the answer to a question, or the default."""
    if given is not None:
        return given
    return default or "" if ask is None else ask(question, default)


def _parse(text: str, where: str, secret: str) -> "PasswordSource":
    from backupkit.passwords import PasswordSource  # noqa: PLC0415 # keeps --help fast

    return replace(PasswordSource.parse(text, where=where), secret=secret)
