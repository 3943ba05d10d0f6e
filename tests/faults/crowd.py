"""The load: people who log in, refresh and log out, thieves, and services that look at what they are shown."""

from __future__ import annotations

import asyncio
import base64
import json
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import count

from history import UNKNOWN, History, Kind, Operation, Outcome
from invariants import Promises
from laboratory import CLIENT, PASSWORD, PEOPLE
from wire import Answer, Wire

from identity.verifier import Credential, VerificationError, Verifier

_LOOK_SECONDS = 0.002
MERCY_SECONDS = 0.3
"""What a thief waits longer than the window, so that there is no doubt."""


@dataclass(frozen=True)
class Mix:
    """What people do, as shares of their turns; what is left is refreshing."""

    end: float = 0.05
    race: float = 0.0
    """Ended while it is refreshed at another replica."""
    twins: float = 0.0
    """One token presented at two replicas at once."""
    steal: float = 0.02
    verify: float = 0.3
    introspect: float = 0.05
    abandon: float = 0.0
    """Of the requests: hung up on before the answer, a moment after they were sent."""
    pause: float = 0.0
    """Seconds between two turns of a worker."""
    rest: float = 0.0
    """Seconds in which a session that was refreshed is not refreshed again. A duplicate that comes three refreshes late, within
    the window, is taken for a theft; with one that was hung up on, or sent twice, that happens to whoever never rests."""
    patience: float = 3.0
    """Seconds a client waits for an answer."""
    sessions: int = 6
    """Of each worker."""


@dataclass(eq=False)
class Held:
    """A session, as its owner knows it. `replaced` are its used tokens, each with the moment its successor was known."""

    name: str
    person: str
    token: str
    access: str
    replaced: list[tuple[str, float]] = field(default_factory=list)
    is_lost: bool = False
    refreshed_at: float = float("-inf")

    def advance(self, operation: Operation, access: str) -> None:
        """Goes on with what was received."""
        if operation.received != self.token:
            self.replaced.append((self.token, operation.ended))
        self.token, self.access, self.refreshed_at = operation.received, access, operation.ended


class Asker:
    """Asks servers, one connection to each, and writes everything down. One task at a time."""

    def __init__(self, history: History, choice: random.Random, abandon: float = 0.0, patience: float = 3.0) -> None:
        self._history, self._choice, self._abandon, self._patience = history, choice, abandon, patience
        self._wires: dict[str, Wire] = {}
        self.access = ""
        """The access token of the last answer that held one."""

    async def close(self) -> None:
        """Closes the connections."""
        for wire in self._wires.values():
            await wire.close()

    async def log_in(self, server: str, session: str, person: str) -> Operation:
        """Logs a person in."""
        fields = {"username": person, "password": PASSWORD, "scope": "orders:read"}
        return await self._token(Kind.LOGIN, server, session, person, "", grant_type="password", **fields)

    async def refresh(self, server: str, session: str, token: str, kind: Kind = Kind.REFRESH) -> Operation:
        """Presents a refresh token."""
        fields = {"grant_type": "refresh_token", "refresh_token": token}
        return await self._token(kind, server, session, "", token, **fields)

    async def revoke(self, server: str, session: str, token: str) -> Operation:
        """Logs out."""
        began = time.monotonic()
        answer = await self._ask(server, lambda wire: wire.form("/revoke", client_id=CLIENT, token=token))
        return self._note(Kind.END, session, server, began, answer)

    async def introspect(self, server: str, session: str, token: str, service: Credential) -> Operation:
        """Asks whether an access token is active, as the service that it is for."""
        began = time.monotonic()
        fields = {"token": token, "client_id": service.client_id, "client_secret": service.secret}
        answer = await self._ask(server, lambda wire: wire.form("/introspect", **fields))
        if isinstance(answer, Answer) and answer.status == 200 and not answer.json()["active"]:
            return self._add(Kind.INTROSPECT, session, server, began, Outcome.REFUSED)
        return self._note(Kind.INTROSPECT, session, server, began, answer)

    async def keys(self, server: str) -> Operation:
        """Fetches the JWKS."""
        began = time.monotonic()
        answer = await self._ask(server, lambda wire: wire.get("/.well-known/jwks.json"))
        return self._note(Kind.KEYS, "", server, began, answer)

    async def _token(
        self, kind: Kind, server: str, session: str, person: str, presented: str, **fields: str
    ) -> Operation:
        began = time.monotonic()
        answer = await self._ask(server, lambda wire: wire.form("/token", client_id=CLIENT, **fields))
        if isinstance(answer, Answer) and answer.status == 200:
            told = answer.json()
            self.access = told["access_token"]
            return self._add(
                kind,
                session,
                server,
                began,
                Outcome.OK,
                presented=presented,
                received=told["refresh_token"],
                owner=owner_of(self.access),
                person=person,
            )
        return self._note(kind, session, server, began, answer, presented)

    async def _ask(self, server: str, send: Callable[[Wire], Awaitable[Answer]]) -> Answer | Outcome | str:
        """Returns the answer, or what came instead of one."""
        wire = self._wires.setdefault(server, Wire(server))
        hangs_up = self._choice.random() < self._abandon
        patience = self._choice.uniform(0, 0.02) if hangs_up else self._patience
        try:
            async with asyncio.timeout(patience):
                return await send(wire)
        except TimeoutError:
            await wire.close()
            return Outcome.ABANDONED if hangs_up else "no answer in time"
        except (OSError, asyncio.IncompleteReadError) as error:
            await wire.close()
            return type(error).__name__

    def _note(
        self, kind: Kind, session: str, server: str, began: float, answer: Answer | Outcome | str, presented: str = ""
    ) -> Operation:
        outcome, detail = classified(answer)
        return self._add(kind, session, server, began, outcome, presented=presented, detail=detail)

    def _add(self, kind: Kind, session: str, server: str, began: float, outcome: Outcome, **more: object) -> Operation:
        return self._history.add(Operation(kind, session, server, began, time.monotonic(), outcome, **more))


def classified(answer: Answer | Outcome | str) -> tuple[Outcome, str]:
    """What an answer without tokens means."""
    if isinstance(answer, Outcome):
        return answer, ""
    if isinstance(answer, str):
        return Outcome.UNCLEAR, answer
    if answer.status == 200:
        return Outcome.OK, ""
    try:
        error = str(answer.json()["error"])
    except (ValueError, KeyError, TypeError):
        return Outcome.BROKEN, f"{answer.status} without an error of the protocol"
    if answer.status == 503 and "retry-after" in answer.headers:
        return Outcome.UNAVAILABLE, error
    if answer.status >= 500:
        return Outcome.BROKEN, f"{answer.status} {error}"
    return Outcome.REFUSED, error


def owner_of(access_token: str) -> tuple[str, str, str]:
    """Whom an access token is for: subject, client, grant."""
    payload = access_token.split(".")[1]
    claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    return claims["sub"], claims["client_id"], claims["grant_id"]


async def show(verifier: Verifier, held: Held, history: History) -> None:
    """Shows a service the access token of a session."""
    began, outcome, detail = time.monotonic(), Outcome.OK, ""
    try:
        await verifier.verify(held.access)
    except VerificationError as error:
        outcome, detail = Outcome.REFUSED, str(error.code)
    history.add(Operation(Kind.VERIFY, held.name, "service", began, time.monotonic(), outcome, detail=detail))


class Crowd:
    """Workers, each with its own sessions and connections, from `async with` to `finish`."""

    _numbers = count()

    def __init__(
        self,
        history: History,
        servers: Sequence[str],
        verifiers: Sequence[Verifier],
        choice: random.Random,
        *,
        mix: Mix,
        window: float,
        credential: Credential,
        workers: int = 4,
    ) -> None:
        self._history, self._servers, self._verifiers, self._choice = history, list(servers), list(verifiers), choice
        self._mix, self._window, self._credential = mix, window, credential
        self._workers = workers
        self._done = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self.held: list[list[Held]] = [[] for _ in range(workers)]
        self.ended: list[Held] = []

    async def __aenter__(self) -> Crowd:
        self._tasks = [asyncio.create_task(self._work(held)) for held in self.held]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._done.set()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def until(self, condition: Callable[[], bool], seconds: float = 60.0) -> None:
        """Waits while the load goes on; if it is in vain, the last that was asked is shown."""
        deadline = time.monotonic() + seconds
        while not condition():
            await asyncio.sleep(0.01)
            self._require_alive()
            assert time.monotonic() < deadline, "\n".join(map(str, self._history.operations[-20:]))

    async def finish(self) -> None:
        """Ends the work, and looks once more at everything: who is logged in can go on, and what ended is accepted nowhere,
        now that all must know of it."""
        self._done.set()
        await asyncio.gather(*self._tasks)
        asker = Asker(self._history, self._choice)
        for held in (each for mine in self.held for each in mine):
            await self._refresh(asker, held)
            for verifier in self._verifiers:
                await show(verifier, held, self._history)
        await asyncio.sleep(Promises().reach)
        for held in self.ended:
            for server in self._servers:
                await asker.refresh(server, held.name, held.token)
                await asker.introspect(server, held.name, held.access, self._credential)
            for verifier in self._verifiers:
                await show(verifier, held, self._history)
        await asker.close()

    def _require_alive(self) -> None:
        for task in self._tasks:
            if task.done():
                task.result()

    async def _work(self, mine: list[Held]) -> None:
        asker, other = (Asker(self._history, self._choice, self._mix.abandon, self._mix.patience) for _ in range(2))
        try:
            while not self._done.is_set():
                await self._turn(asker, other, mine)
                await asyncio.sleep(self._mix.pause)
        finally:
            await asker.close()
            await other.close()

    async def _turn(self, asker: Asker, other: Asker, mine: list[Held]) -> None:
        if len(mine) < self._mix.sessions:
            await self._log_in(asker, mine)
            return
        held = self._choice.choice(mine)
        if time.monotonic() < held.refreshed_at + self._mix.rest:
            await asyncio.sleep(_LOOK_SECONDS)
            return
        turn = self._choice.random()
        for share, act in (
            (self._mix.end, partial(self._end, asker, held)),
            (self._mix.race, partial(self._race, asker, other, held)),
            (self._mix.twins, partial(self._present_twice, asker, other, held)),
            (self._mix.steal, partial(self._steal, asker, held)),
            (1.0, partial(self._refresh, asker, held)),
        ):
            if turn < share:
                await act()
                break
            turn -= share
        if held.is_lost:
            mine.remove(held)
        await self._look(asker, held)

    async def _look(self, asker: Asker, held: Held) -> None:
        """Shows a session's newest access token, or one of a session that is over."""
        for each in (held, *self._choice.choices(self.ended, k=2)) if self.ended else (held,):
            if self._choice.random() < self._mix.verify and self._verifiers:
                await show(self._choice.choice(self._verifiers), each, self._history)
            if self._choice.random() < self._mix.introspect:
                await asker.introspect(self._server(), each.name, each.access, self._credential)
        if self.ended and self._choice.random() < self._mix.introspect:
            over = self._choice.choice(self.ended)
            await asker.refresh(self._server(), over.name, over.token)

    def _server(self) -> str:
        return self._choice.choice(self._servers)

    async def _log_in(self, asker: Asker, mine: list[Held]) -> None:
        name, person = f"s{next(self._numbers)}", self._choice.choice(PEOPLE)
        operation = await asker.log_in(self._server(), name, person)
        if operation.outcome is Outcome.OK:
            mine.append(Held(name, person, operation.received, asker.access))
        elif operation.outcome is not Outcome.ABANDONED:
            await asyncio.sleep(0.05)

    async def _refresh(self, asker: Asker, held: Held) -> Operation:
        """Asks until the outcome is known, as a client does that retries, at whichever server comes next."""
        while True:
            operation = await asker.refresh(self._server(), held.name, held.token)
            if operation.outcome is Outcome.OK:
                held.advance(operation, asker.access)
                return operation
            if operation.outcome not in UNKNOWN and operation.outcome is not Outcome.UNAVAILABLE:
                held.is_lost = True
                return operation
            await asyncio.sleep(self._choice.uniform(0.01, 0.1))

    async def _end(self, asker: Asker, held: Held) -> None:
        """Until it is answered, nobody knows whether the session is over: it is used for nothing else."""
        held.is_lost = True
        while True:
            operation = await asker.revoke(self._server(), held.name, held.token)
            if operation.outcome is Outcome.OK:
                self.ended.append(held)
                return
            await asyncio.sleep(self._choice.uniform(0.01, 0.1))

    async def _race(self, asker: Asker, other: Asker, held: Held) -> None:
        """Both at once; what the refresh may still bring is over, too."""
        held.is_lost = True
        refreshing = asyncio.create_task(other.refresh(self._server(), held.name, held.token))
        await asyncio.sleep(self._choice.uniform(0, 0.004))
        await self._end(asker, held)
        refreshed = await refreshing
        if refreshed.outcome is Outcome.OK:
            self.ended.append(Held(held.name, held.person, refreshed.received, other.access))

    async def _present_twice(self, asker: Asker, other: Asker, held: Held) -> None:
        """Where a retry is allowed both go on with the same; where none is, one of them does, and for the last time."""
        ones, twos = (
            asker.refresh(self._server(), held.name, held.token),
            other.refresh(self._server(), held.name, held.token),
        )
        answers = await asyncio.gather(ones, twos)
        for operation, access in zip(answers, (asker.access, other.access), strict=True):
            if operation.outcome is Outcome.OK:
                held.advance(operation, access)
        if self._window == 0:
            held.is_lost = True
        elif not any(each.outcome is Outcome.OK for each in answers):
            await self._refresh(asker, held)

    async def _steal(self, asker: Asker, held: Held) -> None:
        """Presents a used token when there is no doubt that it is one; owner and thief must both lose the session."""
        latest = time.monotonic() - self._window - MERCY_SECONDS
        used = [index for index, (_, moment) in enumerate(held.replaced) if moment < latest]
        if not used:
            await self._refresh(asker, held)
            return
        token, _ = held.replaced[self._choice.choice(used)]
        while True:
            operation = await asker.refresh(self._server(), held.name, token, Kind.REPLAY)
            if operation.outcome in (Outcome.REFUSED, Outcome.OK):
                break
            await asyncio.sleep(self._choice.uniform(0.01, 0.1))
        held.is_lost = True
        self.ended.append(held)
