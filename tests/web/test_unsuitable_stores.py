"""What a server refuses to start on, in one sentence each; and what it never says, whatever it is asked."""

from __future__ import annotations

import base64
import io
import logging
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest
import redis
import structlog
from issuer_in_process import SERVICE, Issuer, dev_settings, granted, running

from identity.installed_keys import load_installed_keys
from identity.settings import ConfigurationError, Settings
from identity.store.embedded import EmbeddedValkey
from identity.wiring.parts import Stores

StartIssuer = Callable[..., AbstractAsyncContextManager[Issuer]]


async def problems_of(settings: Settings) -> list[str]:
    with pytest.raises(ConfigurationError) as refused:
        async with running(settings):
            pass
    assert all(problem.endswith((".", ").")) and "\n" not in problem for problem in refused.value.problems)
    return refused.value.problems


async def test_a_redis_that_cannot_be_reached_is_refused(site: Path) -> None:
    """DESIGN 10."""
    (problem,) = await problems_of(dev_settings(site, redis_url=f"unix://{site}/no.sock"))
    assert problem.startswith("The Redis at IDENTITY_REDIS_URL cannot be reached")


async def test_a_redis_that_may_evict_is_refused(site: Path) -> None:
    """DESIGN 10: a session or a revocation must not vanish because memory is short."""
    valkey = EmbeddedValkey(site / "data")
    valkey.start()
    try:
        with redis.Redis.from_url(valkey.url) as client:
            client.config_set("maxmemory-policy", "allkeys-lru")
            assert "allkeys-lru" in (await problems_of(dev_settings(site, redis_url=valkey.url)))[0]
            client.config_set("maxmemory-policy", "volatile-ttl")
            assert "volatile-ttl" in (await problems_of(dev_settings(site, redis_url=valkey.url)))[0]
            client.config_set("maxmemory-policy", "noeviction")
        async with running(dev_settings(site, redis_url=valkey.url)) as issuer:
            granted(await issuer.login())
    finally:
        valkey.stop()


async def test_a_database_without_its_tables_is_refused(site: Path) -> None:
    """DESIGN 10: and says what to do."""
    (site / "identity.sqlite3").unlink()
    (problem,) = await problems_of(dev_settings(site))
    assert problem.startswith("The database is at revision none")
    assert "`identity migrate`" in problem


async def test_a_database_that_cannot_be_reached_is_refused_together_with_redis(site: Path) -> None:
    """DESIGN 4: everything that is wrong is said at once; a password in an address is not."""
    settings = dev_settings(
        site,
        database_url="postgresql://identity:db-password@127.0.0.1:1/identity",
        redis_url="redis://:redis-password@127.0.0.1:1/0",
    )
    problems = await problems_of(settings)
    assert [problem.partition(" cannot be reached")[0] for problem in problems] == [
        "The database at IDENTITY_DATABASE_URL",
        "The Redis at IDENTITY_REDIS_URL",
    ]
    assert "password" not in "".join(problems)


async def test_production_refuses_demo_rows(site: Path) -> None:
    """U11."""
    problems = await problems_of(dev_settings(site, mode="serve", redis_url=f"unix://{site}/no.sock"))
    assert problems[0].startswith("The database holds demo rows (alice, bob, demo, demo-web, demo-service, orders)")


@pytest.mark.parametrize("harm", ["missing", "truncated", "readable"])
async def test_keys_that_cannot_be_used_are_refused_and_never_replaced(site: Path, harm: str) -> None:
    """K08."""
    path = next(path for path in (site / "keys").glob("*.pem") if not path.name.startswith("refresh."))
    before = sorted((site / "keys").iterdir())
    if harm == "missing":
        path.unlink()
        before.remove(path)
    elif harm == "truncated":
        path.write_bytes(path.read_bytes()[:200])
    else:
        path.chmod(0o644)
    settings = dev_settings(site)
    stores = Stores.of(settings)
    with pytest.raises(ConfigurationError) as refused:
        await load_installed_keys(settings, stores.database)
    await stores.close()
    (problem,) = refused.value.problems
    assert str(path) in problem
    assert sorted((site / "keys").iterdir()) == before


# --- What is never said ----------------------------------------------------------------------------------------------


@pytest.fixture
def log() -> Iterator[Callable[[], str]]:
    """Everything that is logged from now on, by structlog or by the standard library, down to DEBUG."""
    written = io.StringIO()
    handler = logging.StreamHandler(written)
    handler.addFilter(lambda record: not record.name.startswith("httpx2"))  # The client that the tests speak through.
    root = logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(written), cache_logger_on_first_use=False)
    yield written.getvalue
    root.removeHandler(handler)
    root.setLevel(level)
    structlog.reset_defaults()


async def test_no_credential_shows_in_a_log_or_an_error(start_issuer: StartIssuer, log: Callable[[], str]) -> None:
    """A64: whatever is presented, rightly or wrongly, and wherever in the request it stands."""
    errors: list[str] = []
    secrets = ["wonderland", "hunter2-wrong-password", SERVICE[1], "guessed-client-secret"]
    async with start_issuer() as issuer:
        body = granted(await issuer.login())
        service = granted(await issuer.service_token())["access_token"]
        following = granted(await issuer.refresh(body["refresh_token"]))
        secrets += [body["access_token"], body["refresh_token"], service]
        secrets += [following["access_token"], following["refresh_token"]]
        refused = [
            await issuer.login("alice", secrets[1]),
            await issuer.login("alice", secrets[1], scope="orders:delete"),
            await issuer.login("alice", secrets[1], resource="https://unknown.example"),
            await issuer.token("client_credentials", (SERVICE[0], secrets[3])),
            await issuer.token("client_credentials", client_id=SERVICE[0], client_secret=secrets[3]),
            await issuer.token("nonsense", SERVICE),
            await issuer.refresh(body["refresh_token"], resource="https://unknown.example"),
            await issuer.refresh(body["refresh_token"] + "x"),
            await issuer.revoke(body["access_token"], SERVICE),
            await issuer.feed(("orders", secrets[3])),
            await issuer.http.post("/token", content=f"password={secrets[1]}&password={secrets[1]}"),
            await issuer.http.post("/token", json={"password": secrets[1]}),
            await issuer.http.post("/token", data={"a": "b"}, headers={"Authorization": f"Bearer {service}"}),
            await issuer.http.get(f"/token?password={secrets[1]}&token={body['refresh_token']}"),
            await issuer.http.get("/revocations", params={"cursor": secrets[1]}, auth=("orders", secrets[3])),
        ]
        errors += [response.text + str(response.headers) for response in refused]
        assert {response.status_code for response in refused} == {400, 401, 405, 415}
        assert (await issuer.revoke(following["refresh_token"])).status_code == 200
    said = log() + "".join(errors)
    assert "request refused" in said, "the log was really read"
    basic = base64.b64encode(":".join(SERVICE).encode()).decode()
    assert [secret for secret in [*secrets, basic] if secret in said] == []
