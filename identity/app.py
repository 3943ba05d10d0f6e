"""The server as an application: made, started and stopped. `wiring.py` says what it is made of."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, suppress

from fastapi import FastAPI

from identity.administration.key_schedule import RotationSchedule
from identity.feed.stores import StoreUnavailableError
from identity.installed_keys import key_place, key_rules
from identity.keyring.live import LiveKeys, LoadedKeys
from identity.settings import ConfigurationError, Settings
from identity.store.noting import keep_writing
from identity.store.redis.connection import (
    UnsuitableRedisError,
    require_owner,
    require_suitable,
)
from identity.store.redis.publications import RedisPublications
from identity.store.sql.history import History
from identity.store.sql.registrations import Registrations
from identity.store.sql.revision import tables_of
from identity.web import errors
from identity.web.cors import CrossOrigin
from identity.web.front import Front, FrontedApp
from identity.web.openapi import describe
from identity.web.routes import client_paths, endpoints, public_paths
from identity.web.standstill import watch_for_standstills
from identity.web.stopping import on_stop_signal
from identity.wiring.parts import Parts, Stores, signing_keys
from identity.wiring.services import logout_delivery, services_of

_STOP_SECONDS = 5.0
"""How long a stopping server waits for the last step of what runs beside the endpoints."""


def create_app(settings: Settings, keys: LoadedKeys | None = None) -> FastAPI:
    """Returns the server, ready to be run. Keys are loaded (`keys` are those that were already, if any: validating them
    takes longer than all the rest), and the stores opened, and looked at, when it starts."""
    stores = Stores.of(settings)
    parts = Parts.of(settings, stores, LiveKeys(key_place(settings, stores.database), keys))
    services = services_of(parts)
    app = FrontedApp(
        title="Identity",
        description="Logs people and programs in, and signs the tokens that services verify.",
        version="0.1.0",
        lifespan=_lifespan(parts),
        redirect_slashes=False,
        # The page loads its scripts from elsewhere: nobody else's code may run on the issuer's origin in production.
        docs_url="/docs" if settings.mode == "dev" else None,
        redoc_url=None,
    )
    errors.register(app)
    describe(app, settings.issuer, services.registration is not None)
    public, registered = public_paths(settings.issuer), client_paths(settings.issuer)
    table, origins = endpoints(services), services.registry.origins
    app.put_in_front(lambda rest: CrossOrigin(Front(rest, table, parts.stop), public, registered, origins))
    app.state.follower, app.state.keys, app.state.endpoints = parts.follower, parts.keys, table
    return app


def _lifespan(parts: Parts) -> Callable[[FastAPI], AbstractAsyncContextManager[None]]:
    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        settings = parts.settings
        async with AsyncExitStack() as cleanup:
            cleanup.push_async_callback(parts.stores.close)
            cleanup.callback(parts.passwords.close)
            await require_usable(settings, parts.stores)
            await parts.keys.start()
            await parts.follower.start()
            rules = key_rules(settings)
            publications = RedisPublications(parts.stores.redis)
            watch = parts.keys.watch(publications, rules.keep_seconds, rules.remember_seconds)
            rotation = RotationSchedule(signing_keys(settings, parts.stores), parts.audit, settings.key_lifetime)
            history = History(parts.stores.database, settings.history_retention)
            telling = logout_delivery(parts).run(parts.follower)
            beside = (watch, rotation.run(), watch_for_standstills(), history.run(), parts.clocks.run(), telling)
            noting = (keep_writing(each) for each in parts.notes)
            following, *others = (asyncio.create_task(work) for work in (parts.follower.run(), *beside, *noting))
            cleanup.push_async_callback(_stop, parts, following, others)
            with on_stop_signal(parts.stop, parts.follower.stop_waiting):
                yield

    return lifespan


async def _stop(parts: Parts, following: asyncio.Task[None], others: list[asyncio.Task[None]]) -> None:
    parts.follower.close()
    for task in others:
        task.cancel()
    await asyncio.wait([following, *others], timeout=_STOP_SECONDS)
    following.cancel()
    await asyncio.gather(following, *others, return_exceptions=True)
    for each in parts.notes:
        with suppress(StoreUnavailableError):
            await each.flush()


async def require_usable(settings: Settings, stores: Stores) -> None:
    """Raises `ConfigurationError` with one sentence for each store that this server cannot or must not run on."""
    found = (await _sql_problem(settings, stores), await _redis_problem(settings, stores))
    if problems := [problem for problem in found if problem]:
        raise ConfigurationError(problems)


async def _sql_problem(settings: Settings, stores: Stores) -> str:
    try:
        if problem := (await tables_of(stores.database)).problem_for():
            return problem
        if settings.pairwise_key is None:
            async with stores.database.read() as session:
                pairwise = await Registrations(session).pairwise_client()
            if pairwise:
                return f"The client {pairwise} knows people by pairwise names, and IDENTITY_PAIRWISE_KEY is not set."
        if settings.mode == "serve":
            async with stores.database.read() as session:
                demo = await Registrations(session).demo_rows()
            if demo:
                return f"The database holds demo rows ({', '.join(demo)}); start from an empty one."
    except StoreUnavailableError as error:
        return f"The database at IDENTITY_DATABASE_URL cannot be reached ({error})."
    return ""


async def _redis_problem(settings: Settings, stores: Stores) -> str:
    try:
        await require_suitable(stores.redis)
        if settings.mode == "serve":
            await require_owner(stores.redis, settings.issuer)
    except UnsuitableRedisError as error:
        return str(error)
    except StoreUnavailableError as error:
        return f"The Redis at IDENTITY_REDIS_URL cannot be reached ({error})."
    return ""
