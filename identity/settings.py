"""Every setting of the server, documented and validated together; nothing is read at import and there is no global instance.

Each field is the environment variable `IDENTITY_<NAME>`. A secret may also be given as `IDENTITY_<NAME>_FILE`, the path of
a file that holds it. A misspelt `IDENTITY_*` name is refused, and all problems are reported at once.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, ValidationInfo, field_validator

from identity.outbound.reach import read_networks
from identity.setting_forms import issuer_problems, require_port
from identity.store.redis.address import Kind, RedisAddress
from identity.verifier import profile

PREFIX = "IDENTITY_"

_INJECTED_BY_KUBERNETES = re.compile(r"IDENTITY_(SERVICE_|PORT)")
"""A Kubernetes service called `identity` puts such names into every pod of its namespace; none of them is a setting."""

_DRIVERS = {"sqlite": "sqlite+aiosqlite", "postgresql": "postgresql+psycopg", "postgres": "postgresql+psycopg"}

_LONGEST_BRAND_NAME = 80

_HEADER_NAME = re.compile(r"[A-Za-z0-9-]{1,64}")

Seconds = Annotated[float, Field(ge=0)]

_UNDER_WAY_SECONDS = 30
"""A token may be issued this long after the look at the feed that its `rev` tells of: logins queue, and stores are slow."""


class ConfigurationError(Exception):
    """A start that must be refused: `problems` holds one clear sentence for each thing that is wrong."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class Settings(BaseModel):
    """What one server process runs with; frozen, and valid as a whole once it exists."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True, validate_default=True)

    mode: Literal["serve", "dev"] = Field(
        "serve", description="`dev` allows demo rows and http; set by `identity dev`."
    )
    issuer: str = Field(
        description="The issuer identifier (RFC 8414 section 2): an https URL without query or fragment."
    )
    database_url: SecretStr = Field(SecretStr(""), description="sqlite:///path or postgresql://...")
    database_connections: int = Field(
        10, ge=2, le=1000, description="Connections of each worker to SQL; two more are kept for the head of the feed."
    )
    redis_url: SecretStr = Field(
        SecretStr(""), description="Address of Redis or Valkey >= 7, of its sentinels or its cluster."
    )
    keys_in: Literal["folder", "database"] = Field(
        "folder", description="Where the keys are; `database` needs a master key and no shared folder."
    )
    master_key: SecretStr | None = Field(None, description="Seals the private keys in the database.")
    second_master_key: SecretStr | None = Field(None, description="Opens what was sealed with it, and seals nothing.")
    keys_dir: Path = Field(Path("keys"), description="Folder of the signing keys and refresh keys.")
    keys_passphrase: SecretStr | None = Field(None, description="Encrypts the private keys at rest.")
    data_dir: Path = Field(Path(".identity"), description="Folder of the embedded stores, used where no URL is given.")
    key_bits: Literal[2048, 3072] = Field(2048, description="Size of new RSA signing keys.")
    signing_algorithms: tuple[str, ...] = Field(
        (profile.ALGORITHM,), description="What the keyring holds keys for; comma separated, RS256 always among them."
    )
    key_lifetime: int = Field(
        30 * 86400, ge=0, description="Seconds a key signs before the next one takes its place; 0 leaves that to you."
    )

    access_token_lifetime: int = Field(600, ge=1, le=profile.MAX_ACCESS_TOKEN_LIFETIME, description="Seconds.")
    refresh_retry_window: Seconds = Field(
        10,
        le=60,
        description="Seconds in which a repeated refresh gets the same successor; 0 refuses every repetition.",
    )
    refresh_idle_lifetime: int = Field(14 * 86400, ge=1, description="Seconds a session may rest between refreshes.")
    refresh_absolute_lifetime: int = Field(
        30 * 86400, ge=1, description="Seconds after which a session ends in any case."
    )
    code_lifetime: int = Field(60, ge=1, le=600, description="Seconds an authorization code may be redeemed.")
    login_idle_lifetime: int = Field(8 * 3600, ge=1, description="Seconds a login at a browser may rest.")
    login_absolute_lifetime: int = Field(
        7 * 86400, ge=1, description="Seconds after which a login at a browser ends in any case."
    )
    history_retention: int = Field(
        400 * 86400,
        ge=0,
        description="Seconds the audit trail, and API keys that ended, are kept; 0 keeps them for ever.",
    )
    jwks_max_age: int = Field(profile.JWKS_MAX_AGE, ge=1, le=86400, description="Seconds a JWKS may be cached.")
    verifier_cooldown: int = Field(
        profile.JWKS_COOLDOWN, ge=0, le=3600, description="Longest cooldown, in seconds, of any verifier in use."
    )

    registration: Literal["closed", "token", "open"] = Field(
        "closed", description="Who may register clients over HTTP: nobody, who was invited, or everybody."
    )
    pairwise_key: SecretStr | None = Field(None, description="Makes pairwise names of people; it must never change.")

    default_client: str | None = Field(None, description="Client meant by a token request that names none.")
    dpop_nonce: bool = Field(False, description="Wants a nonce of the server's in every DPoP proof for a token.")
    feed_public: bool = Field(False, description="Lets anonymous readers follow the revocation feed.")
    trusted_proxies: tuple[str, ...] = Field((), description="Addresses whose X-Forwarded-For counts; comma separated.")

    client_certificate_header: str | None = Field(
        None, description="Header in which a trusted proxy names the client certificate that it verified."
    )
    outbound_allow: tuple[str, ...] = Field(
        (), description="Private networks in which addresses that clients registered may be; comma separated."
    )

    bootstrap_admin_username: str | None = Field(None, description="First administrator, made while there is nobody.")
    bootstrap_admin_password: SecretStr | None = Field(
        None, description="Their password; remove it after the first start."
    )

    brand_name: str = Field("Identity", description="What people know you as: the heading and title of every page.")
    logo_file: Path | None = Field(None, description="SVG, PNG, JPEG or WebP shown in place of the name.")
    accent_color: str | None = Field(None, description="Colour of buttons, as #rrggbb.")
    templates_dir: Path | None = Field(None, description="Folder of templates that take the place of ours.")

    login_attempts: int = Field(10, ge=1, description="Wrong passwords per account and 15 minutes.")
    login_attempts_per_address: int = Field(100, ge=1, description="Wrong passwords per address and 15 minutes.")
    password_threads: int = Field(0, ge=0, description="Threads that hash passwords; 0 means one for each core.")
    password_queue: int = Field(64, ge=1, description="Logins that may wait for such a thread before 503.")
    stop_delay: Seconds = Field(
        0, le=60, description="Seconds a server told to stop still answers everybody, its readiness red."
    )

    @field_validator("trusted_proxies", "outbound_allow", "signing_algorithms", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value

    @field_validator("trusted_proxies")
    @classmethod
    def _are_networks(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for part in value:
            ipaddress.ip_network(part, strict=False)
        return value

    @field_validator("outbound_allow")
    @classmethod
    def _are_private_networks(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        read_networks(value)
        return value

    @field_validator("brand_name")
    @classmethod
    def _is_a_name(cls, value: str) -> str:
        if not value.strip() or len(value) > _LONGEST_BRAND_NAME or not value.isprintable():
            raise ValueError(f"must have 1 to {_LONGEST_BRAND_NAME} characters, all of them printable")
        return value.strip()

    @field_validator("accent_color")
    @classmethod
    def _is_a_color(cls, value: str | None) -> str | None:
        if value is not None and not re.fullmatch("#[0-9a-fA-F]{6}", value):
            raise ValueError("must be written as #rrggbb, six hexadecimal digits")
        return value

    @field_validator("client_certificate_header")
    @classmethod
    def _comes_from_a_proxy(cls, value: str | None, info: ValidationInfo) -> str | None:
        if value is not None and not _HEADER_NAME.fullmatch(value):
            raise ValueError("must be the name of a header, such as Client-Cert")
        if value is not None and not info.data.get("trusted_proxies"):
            raise ValueError("needs IDENTITY_TRUSTED_PROXIES: anybody else could write it")
        return value

    @field_validator("signing_algorithms")
    @classmethod
    def _are_algorithms(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if not set(value) <= set(profile.ALGORITHMS):
            raise ValueError(f"must be some of {', '.join(profile.ALGORITHMS)}")
        return tuple(name for name in profile.ALGORITHMS if name == profile.ALGORITHM or name in value)

    @field_validator("issuer")
    @classmethod
    def _is_an_issuer(cls, value: str, info: ValidationInfo) -> str:
        problems = issuer_problems(value, info.data.get("mode", "serve"))
        if problems:
            raise ValueError(" and ".join(problems))
        return value

    @field_validator("database_url")
    @classmethod
    def _names_its_driver(cls, value: SecretStr, info: ValidationInfo) -> SecretStr:
        scheme, separator, rest = value.get_secret_value().partition("://")
        if not separator and info.data.get("mode", "serve") == "serve":
            raise ValueError("must be set to sqlite:///... or postgresql://...")
        if separator and scheme not in (*_DRIVERS, *_DRIVERS.values()):
            raise ValueError("must start with sqlite:/// or postgresql://")
        # Cut by hand: a password may hold characters that end the host for `urlsplit`.
        require_port(rest.rpartition("@")[2].partition("/")[0])
        return SecretStr(f"{_DRIVERS.get(scheme, scheme)}://{rest}") if separator else value

    @field_validator("redis_url")
    @classmethod
    def _is_a_redis_address(cls, value: SecretStr, info: ValidationInfo) -> SecretStr:
        address = RedisAddress.parse(value.get_secret_value())
        if address.kind is Kind.IN_PROCESS and info.data.get("mode", "serve") == "serve":
            raise ValueError("must be the address of a server that goes on when this one ends")
        return value

    @field_validator("refresh_absolute_lifetime")
    @classmethod
    def _outlives_the_idle_lifetime(cls, value: int, info: ValidationInfo) -> int:
        if value < info.data.get("refresh_idle_lifetime", 0):
            raise ValueError("must not be shorter than IDENTITY_REFRESH_IDLE_LIFETIME")
        return value

    @property
    def publication_seconds(self) -> float:
        """How long a key must have been published before it may sign (K01): caches in between, then the verifier's own
        cache, then the cooldown of a verifier that asked a moment too early."""
        return 2 * self.jwks_max_age + self.verifier_cooldown

    @property
    def token_horizon(self) -> int:
        """Seconds after which no access token whose request had begun can still be accepted by anyone."""
        return profile.MAX_ACCESS_TOKEN_LIFETIME + profile.LARGEST_LEEWAY + _UNDER_WAY_SECONDS


def load_settings(environment: Mapping[str, str]) -> Settings:
    """Returns the settings found in `environment`, or raises `ConfigurationError` with every problem at once."""
    values, problems = _collect(environment)
    try:
        settings = Settings.model_validate(values)
    except ValidationError as error:
        problems += [_sentence(item["loc"], item["msg"], item["type"]) for item in error.errors()]
    if problems:
        raise ConfigurationError(problems)
    return settings


def _collect(environment: Mapping[str, str]) -> tuple[dict[str, str], list[str]]:
    values: dict[str, str] = {}
    problems: list[str] = []
    for name, text in sorted(environment.items()):
        if not name.startswith(PREFIX) or _INJECTED_BY_KUBERNETES.match(name):
            continue
        field = name.removeprefix(PREFIX).lower()
        if field in Settings.model_fields:
            values[field] = text
        elif field.removesuffix("_file") in _SECRETS and field.endswith("_file"):
            _read_secret(name, field.removesuffix("_file"), text, environment, values, problems)
        else:
            problems.append(f"{name} is not a setting of this server")
    return values, problems


_SECRETS = frozenset(
    {
        "database_url",
        "redis_url",
        "keys_passphrase",
        "master_key",
        "second_master_key",
        "bootstrap_admin_password",
        "pairwise_key",
    }
)


def _read_secret(
    name: str, field: str, path: str, environment: Mapping[str, str], values: dict[str, str], problems: list[str]
) -> None:
    if name.removesuffix("_FILE") in environment:
        problems.append(f"{name} and {name.removesuffix('_FILE')} are both set; keep one")
        return
    try:
        values[field] = Path(path).read_text(encoding="utf-8").rstrip("\r\n")
        if not values[field]:
            problems.append(f"{name} names a file that is empty")
    except (OSError, UnicodeDecodeError) as error:
        problems.append(f"{name} names a file that cannot be read: {type(error).__name__}")


def _sentence(location: tuple[int | str, ...], message: str, kind: str) -> str:
    name = PREFIX + str(location[0]).upper() if location else "The configuration"
    if kind == "missing":
        return f"{name} is not set"
    return f"{name}: {message.removeprefix('Value error, ')}"
