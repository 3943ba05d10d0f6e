"""Settings: everything that is wrong is said at once, in one sentence each, and no secret is ever shown."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from identity.settings import ConfigurationError, Settings, load_settings

SECRET = "hunter2-very-secret"
GOOD = {
    "IDENTITY_ISSUER": "https://id.example.com",
    "IDENTITY_DATABASE_URL": f"postgresql://identity:{SECRET}@db/identity",
    "IDENTITY_REDIS_URL": f"redis://:{SECRET}@redis:6379/0",
}
ON_LOOPBACK = {"IDENTITY_MODE": "dev", "IDENTITY_ISSUER": "http://127.0.0.1:8000", "IDENTITY_REDIS_URL": "fakeredis://"}


def problems(environment: dict[str, str]) -> list[str]:
    with pytest.raises(ConfigurationError) as refusal:
        load_settings(environment)
    for problem in refusal.value.problems:
        assert problem
        assert "\n" not in problem
        assert SECRET not in problem
    assert str(refusal.value) == "\n".join(refusal.value.problems)
    return refusal.value.problems


def test_the_least_that_is_needed_is_enough() -> None:
    settings = load_settings(GOOD)
    assert settings.mode == "serve"
    assert settings.issuer == "https://id.example.com"
    assert settings.database_url.get_secret_value() == f"postgresql+psycopg://identity:{SECRET}@db/identity"
    assert settings.default_client is None
    assert not settings.feed_public


def test_nothing_set_is_several_problems_at_once() -> None:
    found = problems({})
    assert "IDENTITY_ISSUER is not set" in found
    assert any(problem.startswith("IDENTITY_DATABASE_URL") for problem in found)
    assert any(problem.startswith("IDENTITY_REDIS_URL") for problem in found)


def test_every_problem_of_every_kind_is_reported_together() -> None:
    found = problems(
        {
            **GOOD,
            "IDENTITY_ISSUER": "http://id.example.com/",
            "IDENTITY_ISSUERS": "x",
            "IDENTITY_KEY_BITS": "1024",
            "IDENTITY_ACCESS_TOKEN_LIFETIME": "901",
            "IDENTITY_REFRESH_RETRY_WINDOW": "-1",
            "IDENTITY_TRUSTED_PROXIES": "10.0.0.0/8, nonsense",
            "IDENTITY_KEYS_PASSPHRASE_FILE": "/does/not/exist",
            "IDENTITY_LOGIN_ATTEMPTS": "many",
        }
    )
    names = [
        "ISSUER:", "ISSUERS is not", "KEY_BITS:", "ACCESS_TOKEN_LIFETIME:", "REFRESH_RETRY_WINDOW:", "TRUSTED_PROXIES:",
        "KEYS_PASSPHRASE_FILE names", "LOGIN_ATTEMPTS:",
    ]  # fmt: skip
    for name in names:
        assert len([problem for problem in found if problem.startswith(f"IDENTITY_{name}")]) == 1, name
    assert len(found) == len(names)
    issuer = next(problem for problem in found if problem.startswith("IDENTITY_ISSUER:"))
    assert "slash" in issuer
    assert "https" in issuer


@pytest.mark.parametrize(
    "name",
    ["IDENTITY_ISUER", "IDENTITY_KEYS_DIRECTORY", "IDENTITY_", "IDENTITY_ISSUER_FILE", "IDENTITY_KEY_BITS_FILE"],
)
def test_a_misspelt_name_is_refused(name: str) -> None:
    """pydantic-settings would ignore it, and a typo would switch a protection off."""
    assert problems({**GOOD, name: "x"}) == [f"{name} is not a setting of this server"]


@pytest.mark.parametrize(
    "name",
    [
        "IDENTITY_SERVICE_HOST",
        "IDENTITY_SERVICE_PORT",
        "IDENTITY_SERVICE_PORT_HTTP",
        "IDENTITY_PORT",
        "IDENTITY_PORT_8000_TCP",
        "IDENTITY_PORT_8000_TCP_ADDR",
        "OTHER_SERVICE_HOST",
    ],
)
def test_what_kubernetes_injects_for_a_service_called_identity_is_no_setting(name: str) -> None:
    assert load_settings({**GOOD, name: "tcp://10.0.0.1:8000"}) == load_settings(GOOD)


@pytest.mark.parametrize("field", sorted(Settings.model_fields))
def test_no_setting_has_a_name_that_kubernetes_injects(field: str) -> None:
    assert not field.startswith(("service_", "port"))


@pytest.mark.parametrize("name", ["DATABASE_URL", "REDIS_URL", "KEYS_PASSPHRASE"])
def test_a_secret_may_come_from_a_file(tmp_path: Path, name: str) -> None:
    """K05: an editor's newline at the end does not belong to it."""
    value = GOOD.get(f"IDENTITY_{name}", SECRET)
    path = tmp_path / "secret"
    path.write_text(value + "\n")
    environment = {key: text for key, text in GOOD.items() if key != f"IDENTITY_{name}"}
    settings = load_settings({**environment, f"IDENTITY_{name}_FILE": str(path)})
    assert settings == load_settings({**environment, f"IDENTITY_{name}": value})


def test_a_secret_and_its_file_together_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.write_text(SECRET)
    found = problems({**GOOD, "IDENTITY_REDIS_URL_FILE": str(path)})
    assert found == ["IDENTITY_REDIS_URL_FILE and IDENTITY_REDIS_URL are both set; keep one"]


@pytest.mark.parametrize("content", [None, b"\xff\xfe", b"", b"\n"])
def test_a_secret_file_that_cannot_be_used_is_refused(tmp_path: Path, content: bytes | None) -> None:
    """K05: an empty passphrase file must not mean keys without encryption."""
    path = tmp_path / "secret"
    if content is not None:
        path.write_bytes(content)
    found = problems({**GOOD, "IDENTITY_KEYS_PASSPHRASE_FILE": str(path)})
    assert len(found) == 1
    assert found[0].startswith("IDENTITY_KEYS_PASSPHRASE_FILE names a file that")


def test_a_folder_is_no_secret_file(tmp_path: Path) -> None:
    assert len(problems({**GOOD, "IDENTITY_KEYS_PASSPHRASE_FILE": str(tmp_path)})) == 1


@pytest.mark.parametrize(
    "issuer",
    [
        "https://id.example.com",
        "https://id.example.com:8443",
        "https://example.com/identity",
        "http://127.0.0.1:8000",
        "http://localhost:8000",
        "http://[::1]:8000",
    ],
)
def test_an_https_address_or_one_on_loopback_is_an_issuer(issuer: str) -> None:
    """RFC 8414 section 2; kept as it was written, for verifiers compare it character by character."""
    assert load_settings({**GOOD, "IDENTITY_ISSUER": issuer}).issuer == issuer


@pytest.mark.parametrize(
    "issuer",
    [
        "",
        "id.example.com",
        "//id.example.com",
        "ftp://id.example.com",
        "https://",
        "https:///path",
        "http://id.example.com",
        "http://192.0.2.1",
        "http://127.0.0.1.example.com",
        "https://id.example.com/",
        "https://id.example.com?",
        "https://id.example.com?tenant=a",
        "https://id.example.com#",
        "https://id.example.com/#a",
        "https://user@id.example.com",
        "https://user:hunter2-very-secret@id.example.com",
        "https://id.example.com:port",
        "https://id.example.com:99999",
        "https://[::1",
        "https://id.example.com\n",
        " https://id.example.com",
        "https://id.example .com",
        "https://id.exa\tmple.com",
        'https://id.example.com/a"b',
    ],
)
def test_anything_else_is_no_issuer(issuer: str) -> None:
    """RFC 8414 section 2"""
    found = problems({**GOOD, "IDENTITY_ISSUER": issuer})
    assert len(found) == 1
    assert found[0].startswith("IDENTITY_ISSUER: ")


def test_dev_is_for_loopback_only() -> None:
    assert load_settings(ON_LOOPBACK).mode == "dev"
    assert problems({**ON_LOOPBACK, "IDENTITY_ISSUER": "https://id.example.com"})


def test_stores_in_memory_are_for_dev_only() -> None:
    assert problems({**GOOD, "IDENTITY_REDIS_URL": "fakeredis://"})


@pytest.mark.parametrize("address", ["redis://r", "rediss://r:6380/1", "unix:///run/valkey.sock"])
def test_redis_addresses_of_every_kind_are_taken(address: str) -> None:
    load_settings({**GOOD, "IDENTITY_REDIS_URL": address})


@pytest.mark.parametrize(
    "address", ["", "r:6379", "http://r", f"memcached://:{SECRET}@r", f"redis://:{SECRET}@r:port/0", "redis://[::1"]
)
def test_any_other_redis_address_is_refused_without_showing_it(address: str) -> None:
    assert len(problems({**GOOD, "IDENTITY_REDIS_URL": address})) == 1


@pytest.mark.parametrize(
    ("address", "driver"),
    [
        ("sqlite:////var/lib/identity.db", "sqlite+aiosqlite"),
        ("postgresql://db/identity", "postgresql+psycopg"),
        ("postgres://db/identity", "postgresql+psycopg"),
        ("postgresql+psycopg://db/identity", "postgresql+psycopg"),
    ],
)
def test_databases_get_the_driver_this_server_brings(address: str, driver: str) -> None:
    url = load_settings({**GOOD, "IDENTITY_DATABASE_URL": address}).database_url.get_secret_value()
    assert url.partition("://")[0] == driver


@pytest.mark.parametrize(
    "address",
    [
        "",
        "identity.db",
        "mysql://db/identity",
        f"postgresql+asyncpg://identity:{SECRET}@db/identity",
        f"postgresql+psycopg2://identity:{SECRET}@db/identity",
        f"postgresql://identity:{SECRET}@db:port/identity",
        "sqlite+pysqlite:///identity.db",
    ],
)
def test_any_other_database_is_refused_without_showing_its_address(address: str) -> None:
    assert len(problems({**GOOD, "IDENTITY_DATABASE_URL": address})) == 1


def test_a_session_cannot_end_before_it_may_rest() -> None:
    """A47"""
    found = problems({**GOOD, "IDENTITY_REFRESH_IDLE_LIFETIME": "100", "IDENTITY_REFRESH_ABSOLUTE_LIFETIME": "99"})
    assert found == ["IDENTITY_REFRESH_ABSOLUTE_LIFETIME: must not be shorter than IDENTITY_REFRESH_IDLE_LIFETIME"]


def test_a_key_is_published_for_two_caches_and_a_cooldown_before_it_signs() -> None:
    """K01"""
    settings = load_settings({**GOOD, "IDENTITY_JWKS_MAX_AGE": "100", "IDENTITY_VERIFIER_COOLDOWN": "7"})
    assert settings.publication_seconds == 207


def test_trusted_proxies_are_networks() -> None:
    settings = load_settings({**GOOD, "IDENTITY_TRUSTED_PROXIES": "10.0.0.0/8, ::1,192.0.2.7,"})
    assert settings.trusted_proxies == ("10.0.0.0/8", "::1", "192.0.2.7")


def test_settings_never_show_a_secret(tmp_path: Path) -> None:
    """K05"""
    settings = load_settings({**GOOD, "IDENTITY_KEYS_PASSPHRASE": SECRET})
    for text in (repr(settings), str(settings), settings.model_dump_json()):
        assert SECRET not in text


@given(st.sampled_from(sorted(Settings.model_fields)), st.text(max_size=20))
def test_no_value_of_any_setting_is_shown_when_refused_or_ends_in_anything_but_a_sentence(
    field: str, text: str
) -> None:
    """K05: whatever is wrong, it is a `ConfigurationError`."""
    try:
        load_settings({**GOOD, f"IDENTITY_{field.upper()}": f"{text}{SECRET}"})
        found: list[str] = []
    except ConfigurationError as refusal:
        found = refusal.problems
    assert all(problem.startswith("IDENTITY_") for problem in found)
    assert field in ("trusted_proxies", "outbound_allow") or not [problem for problem in found if SECRET in problem]


def test_settings_cannot_be_changed() -> None:
    settings = load_settings(GOOD)
    with pytest.raises(ValueError):
        settings.issuer = "https://evil.example.com"


def test_every_setting_is_described() -> None:
    assert [name for name, field in Settings.model_fields.items() if not field.description] == []


def test_only_private_networks_can_be_opened_for_addresses_of_clients() -> None:
    """A15"""
    settings = load_settings({**GOOD, "IDENTITY_OUTBOUND_ALLOW": "10.0.0.0/8, fd00::/8"})
    assert settings.outbound_allow == ("10.0.0.0/8", "fd00::/8")
    with pytest.raises(ConfigurationError, match=r"OUTBOUND_ALLOW: 0\.0\.0\.0/0 is not within a private network"):
        load_settings({**GOOD, "IDENTITY_OUTBOUND_ALLOW": "0.0.0.0/0"})


@pytest.mark.parametrize("name", ["", "  ", "a" * 81, "two\nlines"])
def test_a_brand_name_is_one_line(name: str) -> None:
    (problem,) = problems({**GOOD, "IDENTITY_BRAND_NAME": name})
    assert problem.startswith("IDENTITY_BRAND_NAME: must have 1 to 80 characters")
    assert load_settings({**GOOD, "IDENTITY_BRAND_NAME": " Acme & Söhne "}).brand_name == "Acme & Söhne"


@pytest.mark.parametrize("color", ["", "red", "#fff", "#1d4ed8ff", "1d4ed8", "#1d4edg", "#1d4ed8;}", "#1d4ed8\n"])
def test_an_accent_color_is_six_hexadecimal_digits(color: str) -> None:
    """A10: it goes into the stylesheet."""
    found = problems({**GOOD, "IDENTITY_ACCENT_COLOR": color})
    assert found == ["IDENTITY_ACCENT_COLOR: must be written as #rrggbb, six hexadecimal digits"]


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("", ("RS256",)),
        ("ES256", ("RS256", "ES256")),
        ("EdDSA, ES256,RS256", ("RS256", "ES256", "EdDSA")),
        ("PS256,PS256", ("RS256", "PS256")),
    ],
)
def test_k04_the_algorithms_of_the_keyring_are_named_and_rs256_is_always_among_them(
    text: str, meant: tuple[str, ...]
) -> None:
    assert load_settings({**GOOD, "IDENTITY_SIGNING_ALGORITHMS": text}).signing_algorithms == meant


@pytest.mark.parametrize("text", ["none", "HS256", "rs256", "RS256 ES256", "ES384"])
def test_v01_an_algorithm_that_is_none_is_refused(text: str) -> None:
    (problem,) = problems({**GOOD, "IDENTITY_SIGNING_ALGORITHMS": text})
    assert problem == "IDENTITY_SIGNING_ALGORITHMS: must be some of RS256, PS256, ES256, EdDSA"
