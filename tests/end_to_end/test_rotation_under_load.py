"""Must show 3: sessions go on through key rotations, and no valid token is refused."""

from __future__ import annotations

import asyncio
import json

import jwt
from test_story import log_in
from wire import Wire

FAMILIES = 1_000
ROTATIONS = 5
WORKERS = 10
TEST_SETTINGS = {"IDENTITY_JWKS_MAX_AGE": "1", "IDENTITY_VERIFIER_COOLDOWN": "1", "ORDERS_COOLDOWN": "1"}


class Load:
    """Refreshes families in turn and shows every access token, new and old, to the service."""

    def __init__(self, connect, issuer: str, orders: str) -> None:
        self.connect, self.issuer, self.orders = connect, issuer, orders
        self.refreshes = self.calls = 0
        self.refused: list[tuple[int, bytes]] = []
        self.done = asyncio.Event()

    async def run(self, families: list[dict[str, str]]) -> None:
        issuer, orders = self.connect(self.issuer), self.connect(self.orders)
        while not self.done.is_set():
            for index, tokens in enumerate(families):
                answer = await issuer.form("/token", grant_type="refresh_token", refresh_token=tokens["refresh_token"])
                assert answer.status == 200, answer.body
                self.refreshes += 1
                families[index] = answer.json()
                for token in (families[index]["access_token"], tokens["access_token"], tokens.get("first", "")):
                    if token:
                        await self._show(orders, token)
                families[index]["first"] = tokens.get("first", tokens["access_token"])
                if self.done.is_set():
                    break

    async def _show(self, orders: Wire, token: str) -> None:
        answer = await orders.get("/orders", token)
        self.calls += 1
        if answer.status != 200:
            self.refused.append((answer.status, answer.body))


async def test_no_valid_token_is_refused_through_five_rotations(make_dev, connect):
    """1,000 families refresh through 5 rotations without `--force`; the service is called all the time."""
    attempts = {"IDENTITY_LOGIN_ATTEMPTS": "5000", "IDENTITY_LOGIN_ATTEMPTS_PER_ADDRESS": "5000"}
    # One algorithm: five rotations of four would publish more keys than verifiers accept.
    dev = make_dev(**TEST_SETTINGS, **attempts, IDENTITY_SIGNING_ALGORITHMS="RS256")
    dev.start()
    families = await _log_in_many(connect, dev.issuer)
    load = Load(connect, dev.issuer, dev.orders)
    workers = [asyncio.create_task(load.run(families[index::WORKERS])) for index in range(WORKERS)]
    kids = {kid_of(families[0]["access_token"])}
    for _ in range(ROTATIONS):
        rotated = await asyncio.to_thread(dev.command, "keys", "rotate", "--wait", "--json")
        assert rotated.returncode == 0, rotated.stderr
        kids.add(json.loads(rotated.stdout)["kid"])
        await _until_signed_by(connect(dev.issuer), json.loads(rotated.stdout)["kid"])
    before = load.refreshes
    while load.refreshes < before + FAMILIES and not any(worker.done() for worker in workers):
        await asyncio.sleep(0.05)
    load.done.set()
    await asyncio.gather(*workers)
    print(f"{load.refreshes} refreshes, {load.calls} calls, {len(kids)} keys, {len(load.refused)} refused")
    assert load.refused == []
    assert len(kids) == ROTATIONS + 1
    assert load.refreshes >= 2 * FAMILIES


async def _log_in_many(connect, issuer: str) -> list[dict[str, str]]:
    wires = [connect(issuer) for _ in range(WORKERS)]

    async def some(wire: Wire) -> list[dict[str, str]]:
        return [await log_in(wire) for _ in range(FAMILIES // WORKERS)]

    return [tokens for found in await asyncio.gather(*(some(wire) for wire in wires)) for tokens in found]


async def _until_signed_by(wire: Wire, kid: str) -> None:
    """A running server signs by the new key within 5 s."""
    async with asyncio.timeout(5):
        tokens = await log_in(wire)
        while kid_of(tokens["access_token"]) != kid:
            tokens = (
                await wire.form("/token", grant_type="refresh_token", refresh_token=tokens["refresh_token"])
            ).json()
            await asyncio.sleep(0.05)


def kid_of(token: str) -> str:
    return jwt.get_unverified_header(token)["kid"]
