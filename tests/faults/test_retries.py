"""Must show 4: clients that retry, proxies that lose answers or ask twice. None of it is ever taken for a theft."""

from __future__ import annotations

import asyncio
import random
import time

import urllib3
from crowd import Crowd, Mix, owner_of
from dev_process import free_ports
from history import History, Kind, Operation, Outcome
from laboratory import CLIENT, PASSWORD, PEOPLE, Installation, installation
from proxies import Forgetful, Hedging

BATCH = 2_000
MIX = Mix(steal=0, end=0.02, rest=1.0, sessions=10)


async def with_crowd(lab: Installation, servers: list[str], mix: Mix, refreshes: int, choice: random.Random) -> History:
    """What a crowd does through these servers until so many refreshes are known."""
    found = History()
    async with Crowd(found, servers, [], choice, mix=mix, window=10, credential=lab.credential) as crowd:
        await crowd.until(lambda: found.count(Kind.REFRESH) >= refreshes, 600)
        await crowd.finish()
    return found


async def test_a_client_that_hangs_up_and_asks_again_stays_logged_in(experiment, tmp_path, made_keys, choice):
    """I4: 30 % of all requests are hung up on, at any moment until their answer."""
    retries = experiment("Retries, client", "clients hang up on 30 % and ask again")
    left = retries.rounds(short=200, long=20_000)
    async with installation(tmp_path, made_keys) as lab:
        while left > 0:
            batch = min(left, BATCH)
            left -= batch
            mix = Mix(abandon=0.3, steal=0, end=0.02, rest=1.0, sessions=10)
            found = await with_crowd(lab, [each.url for each in lab.replicas], mix, batch, choice)
            assert found.count(Kind.REFRESH, outcome=Outcome.ABANDONED) > 0
            assert not retries.report(found, batch)


async def test_a_proxy_that_sends_everything_twice_logs_nobody_out(experiment, tmp_path, made_keys, choice):
    """I1, I4: both servers do the step; whichever answer arrives, it is the same."""
    hedged = experiment("Retries, hedging proxy", "every request is sent to two servers at once")
    left = hedged.rounds(short=200, long=20_000)
    (port,) = free_ports(1)
    async with installation(tmp_path, made_keys) as lab, Hedging(port, [each.url for each in lab.replicas]):
        while left > 0:
            batch = min(left, BATCH)
            left -= batch
            found = await with_crowd(lab, [f"http://127.0.0.1:{port}"], MIX, batch, choice)
            assert not hedged.report(found, batch)


async def test_a_library_that_retries_through_a_proxy_that_loses_answers(experiment, tmp_path, made_keys, choice):
    """I4: urllib3, told to repeat what got no answer, behind a proxy that loses a fifth of the answers."""
    library = experiment("Retries, urllib3", "a proxy loses 20 % of the answers, urllib3 repeats")
    left = library.rounds(short=100, long=10_000)
    (port,) = free_ports(1)
    servers: list[str] = []
    async with installation(tmp_path, made_keys) as lab:
        servers = [each.url for each in lab.replicas]
        async with Forgetful(port, servers, choice, 0.2) as proxy:
            while left > 0:
                batch, found = min(left, BATCH), History()
                left -= batch
                await asyncio.to_thread(one_long_session, port, batch, found)
                assert proxy.lost > 0
                assert not library.report(found, batch, None, f"{proxy.lost} answers lost")


def one_long_session(port: int, refreshes: int, found: History) -> None:
    """A person's application, as somebody would write it with this library."""
    retry = urllib3.Retry(total=20, allowed_methods=None, status_forcelist=[503], respect_retry_after_header=True)
    with urllib3.PoolManager(retries=retry, timeout=3) as http:
        url = f"http://127.0.0.1:{port}/token"
        fields = {"grant_type": "password", "client_id": CLIENT, "username": PEOPLE[0], "password": PASSWORD}
        fields["scope"] = "orders:read"
        token = ask(http, url, found, Kind.LOGIN, "", fields)
        for _ in range(refreshes):
            fields = {"grant_type": "refresh_token", "client_id": CLIENT, "refresh_token": token}
            token = ask(http, url, found, Kind.REFRESH, token, fields)


def ask(http: urllib3.PoolManager, url: str, found: History, kind: Kind, presented: str, fields: dict[str, str]) -> str:
    began = time.monotonic()
    answer = http.request_encode_body("POST", url, fields, encode_multipart=False)
    told = answer.json()
    outcome = Outcome.OK if answer.status == 200 else Outcome.REFUSED
    owner, received = (owner_of(told["access_token"]), told["refresh_token"]) if answer.status == 200 else ((), "")
    found.add(Operation(kind, "session", url, began, time.monotonic(), outcome, presented, received, owner))
    assert answer.status == 200, told
    return received
