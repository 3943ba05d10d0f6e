"""Guessing passwords from an address that costs nothing to change, and being locked out by somebody else's flood (U04)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

import pytest
from issuer_in_process import Issuer, granted, refusal

StartIssuer = Callable[..., AbstractAsyncContextManager[Issuer]]

WRONG, LIMITED = (400, "invalid_grant"), (429, "temporarily_unavailable")


async def from_addresses(start_issuer: StartIssuer, *addresses: str, names: str = "nobody-{}") -> list[tuple[int, str]]:
    """Wrong passwords of different people, one from each address, told by a proxy; three are allowed for an address."""
    proxied = {"trusted_proxies": ("10.0.0.1",), "login_attempts_per_address": 3}
    async with start_issuer(peer="10.0.0.1", **proxied) as issuer:
        return [
            refusal(
                await issuer.http.post(
                    "/token",
                    data={"grant_type": "password", "username": names.format(index), "password": "x"},
                    headers={"X-Forwarded-For": address},
                )
            )
            for index, address in enumerate(addresses)
        ]


async def test_all_addresses_of_one_ipv6_network_share_one_allowance(start_issuer: StartIssuer) -> None:
    """U04: a home has 2^64 of them; one for each attempt would be no limit at all."""
    answers = await from_addresses(start_issuer, *(f"2001:db8:1:2:{index:x}::1" for index in range(1, 6)))
    assert answers == [WRONG] * 3 + [LIMITED] * 2


async def test_other_ipv6_networks_have_their_own(start_issuer: StartIssuer) -> None:
    """U04: neighbours do not pay."""
    answers = await from_addresses(start_issuer, *(f"2001:db8:1:{index:x}::1" for index in range(1, 6)))
    assert answers == [WRONG] * 5


async def test_ipv4_addresses_written_as_ipv6_are_not_one_network(start_issuer: StartIssuer) -> None:
    """U04: else one stranger would lock everybody out."""
    answers = await from_addresses(start_issuer, *(f"::ffff:192.0.2.{index}" for index in range(1, 6)))
    assert answers == [WRONG] * 5
    mixed = await from_addresses(
        start_issuer, "::ffff:198.51.100.1", "198.51.100.1", "::ffff:c633:6401", "198.51.100.1"
    )
    assert mixed == [WRONG] * 3 + [LIMITED]


@pytest.mark.parametrize("password", ["wonderland", "wrong"])
async def test_an_attempt_that_was_not_evaluated_costs_nothing(start_issuer: StartIssuer, password: str) -> None:
    """U04: else whoever keeps the queue for passwords full locks everyone out who tries again, as they are told to."""
    async with start_issuer(login_attempts=1, password_threads=1, password_queue=1) as issuer:
        flood = [asyncio.create_task(issuer.login(f"nobody-{index}", "x")) for index in range(10)]
        while not any(task.done() for task in flood):
            await asyncio.sleep(0)
        answers = await asyncio.gather(*flood)
        turned_away = [index for index, answer in enumerate(answers) if answer.status_code == 503]
        assert turned_away
        again = [refusal(await issuer.login(f"nobody-{index}", password)) for index in turned_away]
        assert again == [WRONG] * len(turned_away)
        assert granted(await issuer.login())


async def test_a_login_that_succeeds_gives_back_its_own_attempt_only(start_issuer: StartIssuer) -> None:
    """U04: whoever has one account must not be able to buy guesses at others with it."""
    async with start_issuer(login_attempts=1000, login_attempts_per_address=6) as issuer:
        answers = []
        for number in range(10):
            assert (await issuer.login()).status_code in (200, 429)
            answers.append(refusal(await issuer.login("bob", f"guess-{number}")))
        assert answers.count(WRONG) == 6
        assert answers[-1] == LIMITED
