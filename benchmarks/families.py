"""Measures what a session costs in Redis: its bytes, young and old, and a refresh among very many against among few.

Families are written as a login writes them (by `RedisFamilies`), without the logins.
"""

from __future__ import annotations

import asyncio
import dataclasses

from benchmarks.identity_server import REFRESH, IdentityServer
from benchmarks.processes import put_load
from benchmarks.rounds import Ratio
from benchmarks.table import Row, Target, plain_bytes, times
from identity.store.redis.keys import family_key
from identity.tokens.refresh_token import Family, Generation, Step, new_family, write_token
from identity.wiring.parts import Stores

_FEW = 1000
_BATCH = 2_000
_USED = 30_000
"""Taken in turn, these are more than a server process remembers: every refresh meets a family it has to read first, as it
would where a million people refresh every ten minutes."""

_GENERATIONS = 1000
_SAMPLE = 20


def measure(identity: IdentityServer, rounds: int, seconds: float, families: int) -> list[Row]:
    """Returns the rows; `families` is how many are "very many"."""
    target, growth = Target(450, 250, plain_bytes, less_is_better=True), Target(1.5, 1.1, times, less_is_better=True)
    young, old = identity.with_stores(lambda stores: _record_sizes(identity, stores))
    few = _refresh_costs(identity, identity.sessions(_FEW), rounds, seconds)
    added, tokens = identity.with_stores(lambda stores: _fill(identity, stores, _FEW, families))
    many = _refresh_costs(identity, tokens, rounds, seconds)
    cost = Ratio.around(many).median * 1e6, Ratio.around(few).median * 1e6
    note = f"{cost[0]:.0f} µs against {cost[1]:.0f} µs of CPU with Valkey's; the many are too many to be remembered"
    return [
        Row("Redis memory of a family, MEMORY USAGE, generation 0", target, Ratio.around(young)),
        Row(f"the same after {_GENERATIONS} generations", target, Ratio.around(old)),
        Row(
            "Redis memory of a family, used_memory / families",
            target,
            Ratio.around([added]),
            f"{families:,} families; with Redis's own tables",
        ),
        Row("refresh with very many families against few", growth, Ratio.of(many, few), note),
    ]


async def _record_sizes(identity: IdentityServer, stores: Stores) -> tuple[list[int], list[int]]:
    """Bytes of some records when new and when refreshed many times; the window is left out of it by going forward."""
    families = await identity.new_families(stores, _SAMPLE)
    await identity.begin(stores, families)
    young = [await _size(stores, family) for family in families]
    for number in range(_GENERATIONS):
        steps = [
            stores.families.step(Generation(each.family, number), rotates=True, kid=identity.keys.signer.kid)
            for each in families
        ]
        if set(await asyncio.gather(*steps)) != {Step.ADVANCED}:
            raise RuntimeError("a family did not advance")
    return young, [await _size(stores, family) for family in families]


async def _size(stores: Stores, family: Family) -> int:
    return int(await stores.redis.execute("MEMORY", "USAGE", family_key(family.family)))


async def _fill(identity: IdentityServer, stores: Stores, present: int, wanted: int) -> tuple[float, list[str]]:
    """Adds families until there are `wanted`; returns the bytes each took, and refresh tokens of some of them."""
    tokens: list[str] = []
    (model,) = await identity.new_families(stores, 1)
    before = await _used(stores)
    for start in range(present, wanted, _BATCH):
        names = [new_family(identity.keys.authenticator) for _ in range(min(_BATCH, wanted - start))]
        tokens += [
            write_token(identity.keys.authenticator, Generation(name, 0)) for name in names[: _USED - len(tokens)]
        ]
        await identity.begin(stores, [dataclasses.replace(model, family=name) for name in names])
    return (await _used(stores) - before) / (wanted - present), tokens


async def _used(stores: Stores) -> int:
    lines = (await stores.redis.execute("INFO", "memory")).splitlines()
    return next(int(line.partition(":")[2]) for line in lines if line.startswith("used_memory:"))


def _refresh_costs(identity: IdentityServer, tokens: list[str], rounds: int, seconds: float) -> list[float]:
    """CPU seconds of one refresh, of server and Valkey together, in each round."""
    costs: list[float] = []
    for _ in range(rounds):
        before = identity.valkey_cpu
        load = put_load(identity.server, seconds, tokens=tokens, **REFRESH)
        tokens = load.tokens
        costs.append(load.cpu_each + (identity.valkey_cpu - before) / load.total)
    return costs
