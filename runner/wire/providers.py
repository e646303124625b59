"""Cloud providers: which parameters and credentials each takes, as cloud input and as output target, and of what form.

Source: the API's pages on cloud inputs and on output storage.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from runner.wire.values import Json


@dataclass(frozen=True, kw_only=True, slots=True)
class Provider:
    """`*_required` and `*_optional` are key names; nobody but the vendor knows the keys of an `open` one.

    account  the credential that names whose storage it is, where the parameters alone don't say so; no secret
    """

    name: str
    title: str
    parameters_required: frozenset[str] = frozenset()
    parameters_optional: frozenset[str] = frozenset()
    credentials_required: frozenset[str] = frozenset()
    credentials_optional: frozenset[str] = frozenset()
    account: str = ""
    as_input: bool = True
    as_target: bool = True
    open: bool = False


PROVIDERS: dict[str, Provider] = {
    provider.name: provider
    for provider in (
        Provider(
            name="amazons3",
            title="Amazon S3",
            parameters_required=frozenset({"bucket", "file"}),
            parameters_optional=frozenset({"region"}),
            credentials_required=frozenset({"accesskeyid", "secretaccesskey"}),
            credentials_optional=frozenset({"sessiontoken"}),
        ),
        Provider(
            name="googlecloud",
            title="Google Cloud Storage",
            parameters_required=frozenset({"projectid", "bucket", "file"}),
            credentials_required=frozenset({"keyfile"}),
        ),
        Provider(
            name="azure",
            title="Azure Blob Storage",
            parameters_required=frozenset({"container", "file"}),
            credentials_required=frozenset({"accountname", "accountkey"}),
            account="accountname",
        ),
        Provider(
            name="ftp",
            title="FTP",
            parameters_required=frozenset({"host", "file"}),
            parameters_optional=frozenset({"port"}),
            credentials_required=frozenset({"username", "password"}),
            account="username",
        ),
        Provider(name="gdrive", title="Google Drive", as_input=False, open=True),
        Provider(name="youtube", title="YouTube", as_input=False, open=True),
    )
}

# The credentials that name an account.
ACCOUNTS = frozenset(provider.account for provider in PROVIDERS.values() if provider.account)
# Whose objects can be listed.
LISTED = tuple(sorted(name for name, provider in PROVIDERS.items() if provider.as_input))


def listing_of(provider: Provider) -> Provider:
    """What a listing takes: `prefix`, which may be missing, in place of `file`."""
    return replace(
        provider,
        parameters_required=provider.parameters_required - {"file"},
        parameters_optional=provider.parameters_optional | {"prefix"},
    )


DEFAULT_S3_REGION = "eu-central-1"
DEFAULT_FTP_PORT = 21
# What stands for a parameter that isn't given.
DEFAULTS: dict[str, dict[str, str]] = {
    "amazons3": {"region": DEFAULT_S3_REGION},
    "ftp": {"port": str(DEFAULT_FTP_PORT)},
}

# A literal here is a secret in a file; names (accesskeyid, accountname, username) may be literal.
SECRET_CREDENTIALS = frozenset(
    {"secretaccesskey", "sessiontoken", "keyfile", "accountkey", "password", "token", "decrypt_password"}
)


_MOST_CHARACTERS = 4096


def value_problem(name: str, value: Json) -> str:
    """What is wrong with a parameter's or a credential's value, to be said behind its name; empty where nothing is.

    Whether it may be empty is not decided here. Never repeats the value.
    """
    if name == "keyfile":
        return "" if isinstance(value, str | dict | list) else "must be the key file, as an object or as its text"
    if name == "port":
        return "" if _is_port(value) else "must be a number from 1 to 65535"
    if not isinstance(value, str):
        return "must be a string"
    if len(value) > _MOST_CHARACTERS:
        return f"must have at most {_MOST_CHARACTERS} characters"
    return "must not contain control characters" if any(ord(char) < 32 or ord(char) == 127 for char in value) else ""


def _is_port(value: Json) -> bool:
    text = str(value)
    return not isinstance(value, bool) and text.isascii() and text.isdigit() and 0 < int(text[:6]) < 65536
