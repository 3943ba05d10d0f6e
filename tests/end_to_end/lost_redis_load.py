"""The load of an experiment that loses Redis: people who come and go, thieves, and those who look whether all is well."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial

from bookkeeping import Books, Session
from production import log_in
from wire import Answer, Wire

from identity.verifier import InvalidToken, VerificationError, Verifier

WORKERS = 6
SESSIONS = 24
PAUSE_SECONDS = 0.02
LOOK_SECONDS = 0.01
BUSY_SECONDS = 2.0
"""How long after a fault revoked tokens are shown almost without a pause."""
PATIENCE_SECONDS = 20.0


class Load:
    """Works from `async with` to `finish`; whatever it sees goes into the books."""

    def __init__(
        self, connect, servers: list[str], verifiers: list[Verifier], books: Books, choice: random.Random, window: float
    ) -> None:
        self._connect, self._servers, self._verifiers = connect, servers, verifiers
        self._books, self._choice, self._window = books, choice, window
        self._living: list[Session] = []
        self._abandoned: list[Session] = []
        """Lost with Redis: they cannot be refreshed any more, and their access tokens are as good as before."""
        self._refused: list[set[Session]] = [set() for _ in verifiers]
        self._victim: tuple[Session, int] | None = None
        self._done = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._thieves: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Load:
        work: list[Callable[[], Awaitable[None]]] = [partial(self._work, self._wires()) for _ in range(WORKERS)]
        work += [partial(self._show_ended, self._connect(server)) for server in self._servers for _ in range(2)]
        work += [partial(self._look, index) for index in range(len(self._verifiers))]
        self._tasks = [asyncio.create_task(self._repeat(each)) for each in work]
        await self.until(lambda: len(self._living) >= SESSIONS / 2 and bool(self._books.ended))
        return self

    async def __aexit__(self, *_: object) -> None:
        self._done.set()
        for task in (*self._tasks, *self._thieves):
            task.cancel()  # After `finish` there is nothing left to cancel.
        await asyncio.gather(*self._tasks, *self._thieves, return_exceptions=True)

    async def resume(self, kind: str) -> None:
        """Returns when each server has logged somebody in since the last fault, which was of this kind."""
        resumed = self._books.resumed_after[kind]
        resumed += await asyncio.gather(*(self._resume(self._connect(server), kind) for server in self._servers))
        self._require_alive()

    def choose_victim(self, as_of: float) -> None:
        """Takes a session out of its owner's hands that was used several times since `as_of`: one of its tokens was stolen."""
        for session in self._choice.sample(self._living, len(self._living)):
            first = next((index for index, used in enumerate(session.used_at) if used > as_of), None)
            if first is not None and first + 2 < len(session.refresh_tokens) and self._books.must_be_known(session):
                self._living.remove(session)
                self._victim = (session, first)
                return

    def set_thief(self) -> None:
        """Has the stolen token presented to a Redis that believes it unused, if there is one."""
        if self._victim is not None:
            self._thieves.append(asyncio.create_task(self._steal(*self._victim)))
            self._victim = None

    def known(self) -> int:
        """How many sessions Redis must know now; after it lost everything, most of the living have not noticed yet."""
        return sum(map(self._books.must_be_known, self._living))

    async def until(self, condition: Callable[[], bool]) -> None:
        """Waits while the load goes on."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not condition():
                await asyncio.sleep(0.005)
                self._require_alive()

    async def finish(self) -> None:
        """Ends the work, and looks once more at everything that ended: at each server and at each verifier."""
        await asyncio.gather(*self._thieves)
        self._done.set()
        await asyncio.gather(*self._tasks)
        for server in self._servers:
            wire = self._connect(server)
            for session in self._books.ended:
                await self._show(wire, session, session.refresh_tokens[-1])
        for index, verifier in enumerate(self._verifiers):
            for session in self._books.ended:
                await self._present_ended(index, verifier, session)
                if session not in self._refused[index]:
                    self._books.violated(f"verifier {index} accepts an access token that was revoked")
        self._books.counts["access tokens of sessions lost by a fault"] = len(self._abandoned)

    def _wires(self) -> list[Wire]:
        return [self._connect(server) for server in self._servers]

    def _require_alive(self) -> None:
        for task in self._tasks:
            if task.done():
                task.result()

    async def _repeat(self, step: Callable[[], Awaitable[None]]) -> None:
        while not self._done.is_set():
            await step()

    async def _work(self, wires: list[Wire]) -> None:
        """One turn of a person: logs in, refreshes, or logs out."""
        await asyncio.sleep(PAUSE_SECONDS)
        wire, turn = self._choice.choice(wires), self._choice.random()
        if len(self._living) < SESSIONS:
            await self._log_in(wire)
            return
        session = self._living.pop(self._choice.randrange(len(self._living)))
        if turn < 0.2:
            await self._log_out(wires, session)
        else:
            await self._refresh(wire, session)
        if self._abandoned:
            await self._accept(self._choice.choice(self._abandoned))

    async def _log_in(self, wire: Wire) -> None:
        asked_at = time.monotonic()
        answer = await answered(log_in(wire))
        if answer is None or answer.status == 503:
            self._books.counts["logins answered 503"] += 1
            return
        assert answer.status == 200, answer.body
        told = answer.json()
        session = Session(asked_at, time.monotonic(), [told["refresh_token"]], told["access_token"])
        self._books.counts["logins"] += 1
        await self._accept(session)
        self._living.append(session)

    async def _refresh(self, wire: Wire, session: Session) -> None:
        answer = await refreshed(wire, session.refresh_tokens[-1])
        if answer is None or answer.status == 503:
            self._books.counts["refreshes answered 503"] += 1
            self._living.append(session)
        elif answer.status == 200:
            self._books.counts["refreshes"] += 1
            session.advance(answer.json()["refresh_token"], answer.json()["access_token"])
            await self._accept(session)
            self._living.append(session)
        else:
            assert answer.json()["error"] == "invalid_grant", answer.body
            await self._lose(session)

    async def _lose(self, session: Session) -> None:
        if self._books.must_be_known(session):
            self._books.violated("a session was lost that Redis must have known")
        self._books.counts["sessions lost by a fault"] += 1
        self._abandoned.append(session)

    async def _log_out(self, wires: list[Wire], session: Session) -> None:
        """Until it was answered 200, nobody knows whether the session is over: it is used for nothing."""
        while True:
            wire = self._choice.choice(wires)
            answer = await answered(wire.form("/revoke", client_id="web", token=session.refresh_tokens[-1]))
            if answer is not None and answer.status == 200:
                self._books.end(session)
                return
            assert answer is None or answer.status == 503, answer.body
            self._books.counts["revocations answered 503"] += 1
            await asyncio.sleep(0.05)

    async def _accept(self, session: Session) -> None:
        """Every verifier accepts the newest access token of a session that nobody ended, whatever became of Redis."""
        for index, verifier in enumerate(self._verifiers):
            try:
                await verifier.verify(session.access_token)
            except VerificationError as error:
                self._books.violated(f"verifier {index} refused a valid access token: {error.code}")
            self._books.counts["valid access tokens shown"] += 1

    async def _show_ended(self, wire: Wire) -> None:
        """Shows one refresh token of a session that ended, one that Redis may believe alive if there is any."""
        ended, last = self._books.ended, self._books.faults[-1:]
        if not ended:
            await asyncio.sleep(LOOK_SECONDS)
            return
        is_busy = bool(last) and time.monotonic() < last[0].back_at + BUSY_SECONDS
        await asyncio.sleep(0.001 if is_busy else LOOK_SECONDS)
        revived = self._books.last_revived if self._choice.random() < 0.8 else []
        session = self._choice.choice(revived or ended)
        token = self._choice.choice([session.refresh_tokens[-1], self._choice.choice(session.refresh_tokens)])
        await self._show(wire, session, token)

    async def _show(self, wire: Wire, session: Session, token: str) -> None:
        answer = await refreshed(wire, token)
        if answer is None or answer.status == 503:
            self._books.counts["revoked refresh tokens shown, answered 503"] += 1
            await asyncio.sleep(0.02)
            return
        self._books.counts["revoked refresh tokens shown"] += 1
        if answer.status == 200:
            child = self._books.accepted_again(session, time.monotonic(), answer.json())
            for index, verifier in enumerate(self._verifiers):
                if session in self._refused[index]:  # What is issued for it by mistake is born revoked.
                    self._refused[index].add(child)
                    await self._present_ended(index, verifier, child)
        else:
            assert answer.json()["error"] == "invalid_grant", answer.body

    async def _look(self, index: int) -> None:
        """Shows a verifier what it has not refused yet, and some of what it has."""
        verifier, refused = self._verifiers[index], self._refused[index]
        for session in self._books.ended[-200:]:
            if session not in refused:
                await self._present_ended(index, verifier, session)
        for session in self._choice.choices(self._books.ended, k=10) if self._books.ended else []:
            await self._present_ended(index, verifier, session)
        await asyncio.sleep(LOOK_SECONDS)

    async def _present_ended(self, index: int, verifier: Verifier, session: Session) -> None:
        refused = self._refused[index]
        self._books.counts["revoked access tokens shown"] += 1
        try:
            await verifier.verify(session.access_token)
        except InvalidToken:
            if session not in refused:
                refused.add(session)
                self._books.refused_after.append(time.monotonic() - session.ended_at)
        else:
            if session in refused:
                self._books.violated(f"verifier {index} accepted an access token that it had refused")

    async def _resume(self, wire: Wire, kind: str) -> float:
        back_at = self._books.faults[-1].back_at
        async with asyncio.timeout(PATIENCE_SECONDS):
            while (answer := await answered(log_in(wire))) is None or answer.status != 200:
                self._books.counts[f"logins refused before the first after {kind}"] += 1
                await asyncio.sleep(0.02)
        return time.monotonic() - back_at

    async def _steal(self, session: Session, index: int) -> None:
        """Owner and thief both go on with what they have, until one round saw no fault: they may not both be served in it.

        A Redis that was set back takes a used token for the current one. There is only ever one successor, so the thief gets
        what the owner has got before, and the next who is late is found out.
        """
        wires, stolen = self._wires(), session.refresh_tokens[index]
        told = await self._insist(wires, stolen)
        self._books.counts["used refresh tokens shown after a set back"] += 1
        if told is not None:
            self._books.counts["used refresh tokens accepted after a set back"] += 1
            if told["refresh_token"] != session.refresh_tokens[index + 1]:
                self._books.violated("a generation had two successors")
            stolen = told["refresh_token"]
        while True:
            faults = len(self._books.faults)
            owner = await self._insist(wires, session.refresh_tokens[-1])
            if owner is not None:
                session.advance(owner["refresh_token"], owner["access_token"])
            await asyncio.sleep(self._window + 0.2)
            thief = await self._insist(wires, stolen)
            again = await self._insist(wires, session.refresh_tokens[-1])
            if len(self._books.faults) == faults:
                break
        if thief is not None:
            self._books.violated("a used refresh token gives successors beside its own, for as long as one likes")
        if again is None:
            self._books.counts["stolen sessions that ended for owner and thief"] += 1
        else:
            session.advance(again["refresh_token"], again["access_token"])
            self._living.append(session)

    async def _insist(self, wires: list[Wire], token: str) -> dict[str, str] | None:
        while (answer := await refreshed(self._choice.choice(wires), token)) is None or answer.status == 503:
            await asyncio.sleep(0.05)
        return answer.json() if answer.status == 200 else None


async def refreshed(wire: Wire, token: str) -> Answer | None:
    return await answered(wire.form("/token", grant_type="refresh_token", client_id="web", refresh_token=token))


async def answered(asking: Awaitable[Answer]) -> Answer | None:
    """The answer, or nothing when the connection broke."""
    with suppress(ConnectionError, asyncio.IncompleteReadError):
        return await asking
    return None
