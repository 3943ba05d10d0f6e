"""Where Redis is, read once from its URL: one server, sentinels that know which server it is, or a cluster."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from urllib.parse import parse_qsl, unquote

Place = tuple[str, int]
"""Host and port."""


class Kind(Enum):
    """What answers at the address."""

    IN_PROCESS = "fakeredis"
    SOCKET = "unix"
    SERVER = "redis"
    SENTINEL = "redis+sentinel"
    CLUSTER = "redis+cluster"


_SCHEMES = {f"{kind.value}": (kind, False) for kind in Kind}
_SCHEMES |= {f"rediss{suffix}": (Kind(f"redis{suffix}"), True) for suffix in ("", "+sentinel", "+cluster")}

_SSL_OPTIONS = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile", "ssl_cert_reqs", "ssl_check_hostname")
_SENTINEL_OPTIONS = {"sentinel_username": "username", "sentinel_password": "password"}
_OPTIONS = ("db", "username", "password", *_SSL_OPTIONS, *_SENTINEL_OPTIONS)

_PARTS = re.compile(r"([a-z+]+)://([^/?#]*)([^?#]*)(?:\?([^#]*))?", re.ASCII)
_HOST = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([\w.-]+))(?::(\d{1,5}))?", re.ASCII)
_YES = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


@dataclass(frozen=True, slots=True)
class RedisAddress:
    """What a URL says. `access` and `sentinel_access` are options of redis-py's connections: credentials, and TLS files."""

    kind: Kind
    hosts: tuple[Place, ...] = ()
    socket: str = ""
    database: int = 0
    master: str = ""
    is_encrypted: bool = False
    access: Mapping[str, object] = field(default_factory=dict, repr=False)
    sentinel_access: Mapping[str, object] = field(default_factory=dict, repr=False)

    @classmethod
    def parse(cls, url: str) -> RedisAddress:
        """Returns the address, or raises `ValueError` with one sentence, which shows nothing of the URL."""
        parts = _PARTS.fullmatch(url)
        if parts is None or parts[1] not in _SCHEMES:
            if "#" in url:
                raise ValueError("must have no #; in a password it is written %23")
            raise ValueError(
                "must be set to a redis://, rediss://, unix://, redis+sentinel:// or redis+cluster:// address"
            )
        kind, encrypted = _SCHEMES[parts[1]]
        login, _, hosts = parts[2].rpartition("@")
        places = () if kind in (Kind.SOCKET, Kind.IN_PROCESS) else _hosts(hosts, kind)
        options = _options(parts[4] or "", kind, encrypted)
        database, master = _path(parts[3], kind, options)
        ssl = {name: value for name, value in options.items() if name in _SSL_OPTIONS}
        sentinel = {ours: options[name] for name, ours in _SENTINEL_OPTIONS.items() if name in options}
        return cls(
            kind=kind,
            hosts=places,
            socket=unquote(parts[3]) if kind is Kind.SOCKET else "",
            database=database,
            master=master,
            is_encrypted=encrypted,
            access=_credentials(login, options) | ssl,
            sentinel_access=sentinel | ssl,
        )


def _credentials(login: str, options: Mapping[str, object]) -> dict[str, object]:
    user, _, password = login.partition(":")
    named = {"username": unquote(user), "password": unquote(password)}
    named |= {name: str(options[name]) for name in ("username", "password") if name in options}
    return {name: value for name, value in named.items() if value}


def _hosts(text: str, kind: Kind) -> tuple[Place, ...]:
    default = 26379 if kind is Kind.SENTINEL else 6379
    found = [_HOST.fullmatch(part.strip()) for part in text.split(",")]
    places = tuple((each[1] or each[2], int(each[3] or default)) for each in found if each is not None)
    if len(places) < len(found) or not all(0 < port < 65536 for _, port in places):
        raise ValueError("must name a host, and a port from 1 to 65535 if any")
    if kind is Kind.SERVER and len(places) > 1:
        raise ValueError("must name one host; several are for redis+sentinel:// and redis+cluster://")
    return places


def _path(path: str, kind: Kind, options: Mapping[str, object]) -> tuple[int, str]:
    """Returns the number of the database, and the name by which the sentinels know it."""
    master, number = "", path.strip("/")
    if kind is Kind.SOCKET:
        if not number:
            raise ValueError("must name the path of a socket")
        number = ""
    elif kind is Kind.SENTINEL:
        master, _, number = number.partition("/")
        if not master:
            raise ValueError("must name the primary as its sentinels do: redis+sentinel://host/name")
    number = str(options.get("db", "")) or number
    if not re.fullmatch(r"[0-9]{0,4}", number):
        raise ValueError("must end with the number of a database, if with anything")
    if kind is Kind.CLUSTER and int(number or 0):
        raise ValueError("must name no database: a cluster has only one")
    return int(number or 0), unquote(master)


def _options(query: str, kind: Kind, encrypted: bool) -> dict[str, object]:
    # Not named: what follows a question mark in a password that is not encoded looks like an option.
    options: dict[str, object] = dict(parse_qsl(query, keep_blank_values=True))
    if any(name not in _OPTIONS for name in options):
        raise ValueError(f"has an option that is none of {', '.join(_OPTIONS)}")
    if not encrypted and any(name in _SSL_OPTIONS for name in options):
        raise ValueError("has an option for TLS, which needs an address that begins with rediss")
    if kind is not Kind.SENTINEL and any(name in _SENTINEL_OPTIONS for name in options):
        raise ValueError("has an option for sentinels, which needs a redis+sentinel:// address")
    if options.get("ssl_cert_reqs", "required") not in ("none", "optional", "required"):
        raise ValueError("has an ssl_cert_reqs that is not none, optional or required")
    if "ssl_check_hostname" in options:
        if (checks := _YES.get(str(options["ssl_check_hostname"]).lower())) is None:
            raise ValueError("has an ssl_check_hostname that is not true or false")
        options["ssl_check_hostname"] = checks
    return options
