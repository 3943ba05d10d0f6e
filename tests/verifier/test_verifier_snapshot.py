"""The snapshot on disk: a service that starts while its issuer is down, and files that must not be believed."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from fake_issuer import FEED, JWKS, METADATA, FakeIssuer, Reply, SigningKey
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from identity.verifier import ANONYMOUS, InvalidToken, KeysUnavailable, Refusal, RevocationsStale, Verifier
from identity.verifier.profile import RuleKind, rule_digest
from identity.verifier.revocations import PictureState
from identity.verifier.rule_columns import NEVER, RuleColumns
from identity.verifier.snapshot import (
    MAX_SNAPSHOT_BYTES,
    KnownPicture,
    Snapshot,
    SnapshotUnusable,
    newest_of,
    read_snapshot,
    write_snapshot,
)

Make = Callable[..., Verifier]
Eventually = Callable[..., Awaitable[None]]
HOUR = 3600.0


class Clock:
    """A wall clock that can be set."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def __call__(self) -> float:
        return time.time() + self.ahead


async def refusal(verifier: Verifier, token: str, **options: object) -> str:
    with pytest.raises(InvalidToken) as caught:
        await verifier.verify(token, **options)  # type: ignore[arg-type]
    return caught.value.code


def go_down(issuer: FakeIssuer) -> None:
    for path in (METADATA, JWKS, FEED):
        issuer.fail(path, Reply(503))


async def until_applied(verifier: Verifier, issuer: FakeIssuer) -> None:
    async with asyncio.timeout(4):
        while verifier.status().feed_cursor != f"{issuer.epoch}.{issuer.seq}":
            await asyncio.sleep(0.005)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "snapshot.json"


@pytest.fixture
async def written(verifier_of: Make, issuer: FakeIssuer, path: Path) -> dict[str, object]:
    """A snapshot with a key, one revoked person and one withdrawn key, by a service that ended in good order."""
    issuer.revoke(RuleKind.SUBJECT, "bob")
    issuer.revoke(RuleKind.KEY, "stolen", lifetime=None)
    async with verifier_of(credential=ANONYMOUS, snapshot=path) as verifier:
        await verifier.verify(issuer.mint())
    document: dict[str, object] = json.loads(path.read_bytes())
    return document


@pytest.mark.usefixtures("written")
async def test_service_starts_while_the_issuer_is_down(verifier_of: Make, issuer: FakeIssuer, path: Path) -> None:
    """V18, F17: its first request is judged at once, with keys and revocations of before."""
    bob, alice = issuer.mint(sub="bob", rev=0), issuer.mint()
    go_down(issuer)
    verifier = verifier_of(credential=ANONYMOUS, snapshot=path, when_stale="reject")
    began = time.monotonic()
    assert (await verifier.verify(alice)).subject == "alice"
    assert time.monotonic() - began < 1
    assert await refusal(verifier, bob) == Refusal.REVOKED
    assert (verifier.status().feed_cursor, verifier.status().key_ids) == ("e1.2", ("key-one",))
    with pytest.raises(KeysUnavailable):
        await verifier_of(credential=ANONYMOUS).verify(alice)


@pytest.mark.usefixtures("written")
async def test_follower_goes_on_from_the_cursor_of_the_snapshot(
    verifier_of: Make, issuer: FakeIssuer, path: Path
) -> None:
    issuer.revoke(RuleKind.SUBJECT, "carol")
    polls = len(issuer.polls)
    verifier = verifier_of(credential=ANONYMOUS, snapshot=path)
    verifier.start()
    await until_applied(verifier, issuer)
    assert issuer.polls[polls]["cursor"] == "e1.2"
    assert verifier.status().rules == 2
    assert await refusal(verifier, issuer.mint(sub="bob", rev=0)) == Refusal.REVOKED


@pytest.mark.parametrize("age", [0.0, 10 * 24 * HOUR, -HOUR], ids=["young", "past every limit", "from the future"])
async def test_withdrawn_key_stays_withdrawn_through_every_snapshot(
    verifier_of: Make, issuer: FakeIssuer, signing_keys: list[SigningKey], path: Path, age: float
) -> None:
    """K06: whatever the JWKS says, and however old or odd the moment in the file is."""
    issuer.revoke(RuleKind.KEY, "key-two", lifetime=None)
    async with verifier_of(credential=ANONYMOUS, snapshot=path) as verifier:
        await until_applied(verifier, issuer)
    issuer.rules.clear()
    issuer.keys.append(signing_keys[1])
    clock = Clock()
    clock.ahead = age
    verifier = verifier_of(snapshot=path, clock=clock)
    stolen = issuer.mint(key=signing_keys[1])
    assert await refusal(verifier, stolen) == Refusal.WITHDRAWN_KEY
    await verifier.aclose()
    assert await refusal(verifier_of(snapshot=path), stolen) == Refusal.WITHDRAWN_KEY


async def test_withdrawal_of_the_only_key_is_kept(verifier_of: Make, issuer: FakeIssuer, path: Path) -> None:
    """K06"""
    issuer.revoke(RuleKind.KEY, "key-one", lifetime=None)
    async with verifier_of(credential=ANONYMOUS, snapshot=path) as verifier:
        await until_applied(verifier, issuer)
    assert await refusal(verifier_of(snapshot=path), issuer.mint()) == Refusal.WITHDRAWN_KEY


@pytest.mark.usefixtures("written")
@pytest.mark.parametrize("ahead", [2 * HOUR, -10.0], ids=["past the stale limit", "from the future"])
async def test_keys_of_a_moment_that_does_not_count_are_not_used(
    verifier_of: Make, issuer: FakeIssuer, path: Path, ahead: float
) -> None:
    """V18: fail closed; a wall clock that was set back proves nothing."""
    go_down(issuer)
    clock = Clock()
    clock.ahead = ahead
    with pytest.raises(KeysUnavailable):
        await verifier_of(snapshot=path, clock=clock, max_stale_keys=HOUR).verify(issuer.mint())


@pytest.mark.usefixtures("written")
async def test_picture_counts_by_its_real_age(verifier_of: Make, issuer: FakeIssuer, path: Path) -> None:
    """V12: `reject` and `accept` see the truth, and what was revoked stays so at any age."""
    issuer.fail(FEED, Reply(503))
    for ahead, fresh in ((50.0, True), (70.0, False), (-10.0, False)):
        clock = Clock()
        clock.ahead = ahead
        verifier = verifier_of(credential=ANONYMOUS, snapshot=path, clock=clock, max_staleness=60)
        token = issuer.mint(iat=int(clock()), exp=int(clock()) + 600)
        await verifier.verify(token, when_stale="accept")
        if fresh:
            await verifier.verify(token, when_stale="reject")
        else:
            with pytest.raises(RevocationsStale):
                await verifier.verify(token, when_stale="reject")
        revoked = issuer.mint(sub="bob", rev=0, iat=int(clock()), exp=int(clock()) + 600)
        assert await refusal(verifier, revoked) == Refusal.REVOKED
        staleness = verifier.status().feed_staleness
        assert staleness is not None
        assert staleness == float("inf") if ahead < 0 else ahead <= staleness < ahead + 5


def replace_with(path: Path, body: bytes, mode: int = 0o600) -> None:
    path.unlink()
    path.write_bytes(body)
    path.chmod(mode)


def changed(written: dict[str, object], **changes: object) -> bytes:
    return json.dumps({**written, **changes}).encode()


def linked(path: Path) -> None:
    path.rename(path.with_name("elsewhere"))
    path.symlink_to("elsewhere")


def pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path, 0o600)


def folder(path: Path) -> None:
    path.unlink()
    path.mkdir(0o700)


Spoil = Callable[[Path, dict[str, object]], None]
UNUSABLE: list[tuple[str, str, Spoil]] = [
    ("readable by the group", "others", lambda path, _: path.chmod(0o640)),
    ("readable by the world", "others", lambda path, _: path.chmod(0o604)),
    ("writable by the group", "others", lambda path, _: path.chmod(0o620)),
    ("a link", "OSError|symbolic", lambda path, _: linked(path)),
    ("a pipe", "no file", lambda path, _: pipe(path)),
    ("a folder", "no file", lambda path, _: folder(path)),
    ("empty", "damaged", lambda path, _: replace_with(path, b"")),
    ("cut", "damaged", lambda path, _: replace_with(path, path.read_bytes()[:-40])),
    ("an array", "damaged", lambda path, _: replace_with(path, b"[]")),
    ("too large", "large", lambda path, _: replace_with(path, path.read_bytes().ljust(MAX_SNAPSHOT_BYTES + 1))),
    ("of another issuer", "issuer", lambda path, doc: replace_with(path, changed(doc, issuer="https://evil.example"))),
    ("of another format", "format", lambda path, doc: replace_with(path, changed(doc, format=2))),
]
if os.geteuid() == 0:  # Only root can give a file away, and CI is root.
    UNUSABLE.append(("foreign", "somebody else", lambda path, _: os.chown(path, 12345, -1)))


@pytest.mark.parametrize(("said", "spoil"), [row[1:] for row in UNUSABLE], ids=[row[0] for row in UNUSABLE])
async def test_file_that_cannot_be_trusted_is_ignored_with_one_line(
    verifier_of: Make,
    issuer: FakeIssuer,
    path: Path,
    written: dict[str, object],
    said: str,
    spoil: Spoil,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """V10: whoever can write this file decides whom the service trusts."""
    spoil(path, written)
    go_down(issuer)
    with pytest.raises(KeysUnavailable):
        await verifier_of(snapshot=path).verify(issuer.mint())
    (line,) = [record.message for record in caplog.records if "snapshot" in record.message]
    assert any(word in line for word in said.split("|")), line


DAMAGED: list[tuple[str, dict[str, object]]] = [
    ("format", {"format": True}),
    ("no withdrawn", {"withdrawn": None}),
    ("withdrawn cut", {"withdrawn": "AAAA"}),
    ("withdrawn no base64", {"withdrawn": "\u20ac"}),
    ("keys no object", {"keys": []}),
    ("keys without moment", {"keys": {"jwks": {"keys": []}}}),
    ("weak key", {"keys": {"at": 1.0, "jwks": {"keys": [{"kty": "oct", "k": "AAAA", "kid": "x"}]}}}),
    ("picture no object", {"picture": 1}),
]
PICTURE: dict[str, object] = {"at": 1.0, "epoch": "e", "seq": 3, "digests": "", "numbers": [], "expiries": []}
TWO = "A" * 42 + "A="  # 32 bytes, the same digest twice
DAMAGED += [
    (f"picture {name}", {"picture": {**PICTURE, **change}})
    for name, change in (
        ("epoch", {"epoch": None}),
        ("seq", {"seq": -1}),
        ("bool seq", {"seq": True}),
        ("moment", {"at": "now"}),
        ("bool moment", {"at": True}),
        ("huge moment", {"at": 10**400}),
        ("negative moment", {"at": -1}),
        ("uneven", {"numbers": [1]}),
        ("digest twice", {"digests": TWO, "numbers": [1, 2], "expiries": [None, None]}),
        ("ahead", {"digests": "A" * 21 + "A==", "numbers": [4], "expiries": [None]}),
        ("float number", {"digests": "A" * 21 + "A==", "numbers": [1.5], "expiries": [None]}),
        ("text expiry", {"digests": "A" * 21 + "A==", "numbers": [1], "expiries": ["x"]}),
        ("numbers no array", {"numbers": "x"}),
    )
]


@pytest.mark.parametrize("change", [row[1] for row in DAMAGED], ids=[row[0] for row in DAMAGED])
def test_malformed_part_makes_the_whole_file_unusable(path: Path, change: dict[str, object]) -> None:
    good = {"format": 1, "issuer": "https://i.example", "keys": None, "withdrawn": "", "picture": PICTURE}
    path.write_bytes(json.dumps(good).encode())
    path.chmod(0o600)
    read_snapshot(path, "https://i.example")
    path.write_bytes(json.dumps({**good, **change}).encode())
    with pytest.raises(SnapshotUnusable):
        read_snapshot(path, "https://i.example")


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(data=st.data())
def test_random_damage_is_never_an_unforeseen_error(
    path: Path, written: dict[str, object], data: st.DataObject
) -> None:
    body = bytearray(json.dumps(written).encode())
    for _ in range(data.draw(st.integers(1, 4))):
        position = data.draw(st.integers(0, len(body) - 1))
        body[position] = data.draw(st.integers(0, 255))
    path.write_bytes(bytes(body))
    path.chmod(0o600)
    with contextlib.suppress(SnapshotUnusable):
        read_snapshot(path, str(written["issuer"]))


@pytest.mark.usefixtures("written")
def test_file_is_private_and_nothing_else_is_left(path: Path) -> None:
    assert path.stat().st_mode & 0o777 == 0o600
    assert [each.name for each in path.parent.iterdir()] == [path.name]


async def test_link_in_the_place_of_the_file_is_replaced_and_never_written_through(
    verifier_of: Make, issuer: FakeIssuer, path: Path
) -> None:
    victim = path.with_name("victim")
    victim.write_text("precious")
    path.symlink_to(victim)
    async with verifier_of(snapshot=path) as verifier:
        await verifier.verify(issuer.mint())
    assert victim.read_text() == "precious"
    assert not path.is_symlink()
    assert path.stat().st_mode & 0o777 == 0o600


async def test_file_is_written_while_the_service_runs_and_only_when_something_changed(
    verifier_of: Make, issuer: FakeIssuer, path: Path, eventually: Eventually, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("identity.verifier.keeper.WRITE_SECONDS", 0.05)
    verifier = verifier_of(snapshot=path)
    await verifier.verify(issuer.mint())
    await eventually(path.exists)
    before = path.stat().st_ino
    await asyncio.sleep(0.3)
    assert path.stat().st_ino == before
    verifier._keys.withdraw(rule_digest(RuleKind.KEY, "stolen"))
    await eventually(lambda: path.stat().st_ino != before)


async def test_failure_to_write_is_logged_once_and_hurts_nobody(
    verifier_of: Make,
    issuer: FakeIssuer,
    path: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("identity.verifier.keeper.WRITE_SECONDS", 0.02)
    async with verifier_of(snapshot=path.parent / "missing" / "file") as verifier:
        for _ in range(10):
            await verifier.verify(issuer.mint())
            await asyncio.sleep(0.03)
    lines = [record.message for record in caplog.records if "snapshot" in record.message]
    assert len(lines) == 1
    assert "cannot be written" in lines[0]


@pytest.mark.usefixtures("written")
async def test_worker_that_knows_less_takes_nothing_back(verifier_of: Make, issuer: FakeIssuer, path: Path) -> None:
    """Several workers share a file: one without the feed, and one that was cut off, write over one that knows more."""
    behind = verifier_of(credential=ANONYMOUS, snapshot=path)
    behind.start()
    await behind.verify(issuer.mint())
    issuer.fail(FEED, Reply(503))
    await asyncio.sleep(0.2)
    issuer.recover(FEED)
    issuer.revoke(RuleKind.SUBJECT, "carol")
    issuer.revoke(RuleKind.KEY, "lost", lifetime=None)
    behind_cursor = behind.status().feed_cursor
    issuer.overrides[FEED] = lambda: Reply(503)
    write_ahead(path, issuer, seq=7)
    await behind.aclose()
    assert behind_cursor != "e1.7"
    async with verifier_of(snapshot=path) as without_feed:
        await without_feed.verify(issuer.mint())
    stored = read_snapshot(path, issuer.url)
    assert stored.picture is not None
    assert (stored.picture.state.epoch, stored.picture.state.seq) == ("e1", 7)
    assert rule_digest(RuleKind.KEY, "lost") in stored.withdrawn
    assert stored.keys is not None


@pytest.mark.usefixtures("written")
async def test_what_another_worker_wrote_outlives_every_later_write(
    verifier_of: Make, issuer: FakeIssuer, path: Path
) -> None:
    """K06: also the second write of a worker that never heard of it."""
    async with verifier_of(snapshot=path) as without_feed:
        await without_feed.verify(issuer.mint())
        write_ahead(path, issuer, seq=7)
        for name in ("one", "two", "three"):
            without_feed._keys.withdraw(rule_digest(RuleKind.KEY, name))
            assert without_feed._keeper is not None
            await without_feed._keeper.flush()
    stored = read_snapshot(path, issuer.url)
    assert stored.picture is not None
    assert stored.picture.state.seq == 7
    assert {rule_digest(RuleKind.KEY, name) for name in ("lost", "one", "two", "three")} <= stored.withdrawn


def write_ahead(path: Path, issuer: FakeIssuer, seq: int) -> None:
    """What a worker that has come further writes."""
    stored = read_snapshot(path, issuer.url)
    assert stored.picture is not None
    state = PictureState(issuer.epoch, seq, stored.picture.state.rules)
    further = KnownPicture(time.time(), state)
    lost = frozenset({rule_digest(RuleKind.KEY, "lost")})
    write_snapshot(path, Snapshot(issuer.url, stored.keys, further, stored.withdrawn | lost))


@pytest.mark.usefixtures("written")
async def test_moment_in_the_future_never_wins(issuer: FakeIssuer, path: Path) -> None:
    """A file written by a wrong clock would otherwise stay for ever."""
    now = time.time()
    ours = read_snapshot(path, issuer.url)
    assert ours.keys is not None
    assert ours.picture is not None
    wrong = KnownPicture(now + HOUR, PictureState("other", 9, RuleColumns()))
    theirs = Snapshot(issuer.url, type(ours.keys)(now + HOUR, {}), wrong, frozenset())
    assert newest_of(ours, theirs, now) == ours
    newer = newest_of(ours, theirs, now + 2 * HOUR)
    assert newer.picture == wrong
    assert newer.withdrawn == ours.withdrawn


@pytest.mark.usefixtures("written")
async def test_running_verifier_is_never_moved_back(verifier_of: Make, issuer: FakeIssuer, path: Path) -> None:
    """Another event loop starts it anew, and meets the file of long ago."""
    old = path.read_bytes()
    verifier = verifier_of(credential=ANONYMOUS, snapshot=path)
    verifier.start()
    issuer.revoke(RuleKind.SUBJECT, "carol")
    await until_applied(verifier, issuer)
    await verifier.aclose()
    replace_with(path, old)
    age = verifier.status().keys_age
    go_down(issuer)
    verifier.start()
    assert verifier.status().feed_cursor == "e1.3"
    assert verifier.status().keys_age < age + 5
    assert await refusal(verifier, issuer.mint(sub="carol", rev=0)) == Refusal.REVOKED


async def test_picture_of_too_many_rules_is_not_kept(
    verifier_of: Make, issuer: FakeIssuer, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Copying and writing it would cost more than asking for it again."""
    monkeypatch.setattr("identity.verifier.keeper.MAX_SNAPSHOT_RULES", 1)
    for name in ("bob", "carol"):
        issuer.revoke(RuleKind.SUBJECT, name)
    async with verifier_of(credential=ANONYMOUS, snapshot=path) as verifier:
        await verifier.verify(issuer.mint())
    stored = read_snapshot(path, issuer.url)
    assert stored.picture is None
    assert stored.keys is not None


async def test_picture_too_large_for_the_file_is_left_out_and_the_keys_stay(
    issuer: FakeIssuer, path: Path, written: dict[str, object]
) -> None:
    stored = read_snapshot(path, issuer.url)
    assert stored.picture is not None
    numbers = range(1, 260_000)
    many = RuleColumns.of(b"".join(number.to_bytes(16) for number in numbers), numbers, (NEVER for _ in numbers))
    state = PictureState("e1", 300_000, many)
    write_snapshot(path, Snapshot(issuer.url, stored.keys, KnownPicture(time.time(), state), stored.withdrawn))
    again = read_snapshot(path, issuer.url)
    assert (again.picture, again.keys, again.withdrawn) == (None, stored.keys, stored.withdrawn)
