"""What a verifier knows, in a file: a service starts while the issuer is down, and knows who is revoked when it does.

Nothing in it is secret, but whoever can write it decides whom this service trusts. So it is private to its owner, never
reached through a symbolic link, and anything odd about it makes it worthless, which costs one start without it.
"""

from __future__ import annotations

import json
import os
import secrets
import stat
from base64 import b64decode, b64encode
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from identity.verifier.compact import strict_json_object
from identity.verifier.profile import ALGORITHMS, DIGEST_BYTES
from identity.verifier.public_keys import read_jwks, write_jwks
from identity.verifier.revocations import PictureState
from identity.verifier.rule_columns import NEVER, RuleColumns, split
from identity.verifier.signatures import PublicKey

MAX_SNAPSHOT_BYTES: Final = 8 * 1024 * 1024

MAX_SNAPSHOT_RULES: Final = 150_000
"""About 6 MB. A larger picture is not kept: the keys are, and the picture comes from the feed as without a file."""

FileVersion = tuple[int, int, int]

_FORMAT: Final = 1
_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO


class SnapshotUnusable(ValueError):
    """The file is not ours, not private, not whole, or about another issuer."""


@dataclass(frozen=True, slots=True)
class KnownKeys:
    """The keys, and when they were fetched (Unix seconds)."""

    at: float
    keys: dict[str, PublicKey]


@dataclass(frozen=True, slots=True)
class KnownPicture:
    """The picture of the feed, and when nothing was missing in it (Unix seconds)."""

    at: float
    state: PictureState


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything worth keeping. `withdrawn` are the digests of keys that must never be accepted again, however old this is."""

    issuer: str
    keys: KnownKeys | None
    picture: KnownPicture | None
    withdrawn: frozenset[bytes]


def read_snapshot(path: Path, issuer: str) -> Snapshot:
    """Returns what was written for `issuer`, or raises `SnapshotUnusable` or `OSError`."""
    try:
        document = strict_json_object(_read_private(path))
        if _whole(document["format"]) != _FORMAT:
            raise SnapshotUnusable("it has another format")
        if document["issuer"] != issuer:
            raise SnapshotUnusable("it is about another issuer")
        withdrawn = frozenset(_digests(document["withdrawn"]))
        return Snapshot(issuer, _keys(document["keys"]), _picture(document["picture"]), withdrawn)
    except SnapshotUnusable:
        raise
    except (ValueError, TypeError, KeyError) as error:
        raise SnapshotUnusable(f"it is damaged ({type(error).__name__})") from error


def version_of(status: os.stat_result) -> FileVersion:
    """Returns what tells one version of a file from the next."""
    return status.st_ino, status.st_mtime_ns, status.st_size


def write_snapshot(path: Path, snapshot: Snapshot) -> FileVersion:
    """Puts the file in place in one step, readable by its owner only, or raises `OSError` and leaves what was there."""
    body = _body(snapshot)
    if len(body) > MAX_SNAPSHOT_BYTES:
        body = _body(replace(snapshot, picture=None))
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(body)
            file.flush()
            os.fsync(descriptor)
            version = version_of(os.fstat(descriptor))
        temporary.replace(path)  # a link that stands there is replaced, not followed
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    return version


def newest_of(ours: Snapshot, theirs: Snapshot, now: float) -> Snapshot:
    """Returns what is newest of each part, so that workers who share a file never take it back. `now` in Unix seconds.

    A moment in the future proves nothing: the clock was wrong when it was written, or is wrong now.
    """
    keys = ours.keys
    if theirs.keys is not None and (keys is None or keys.at < theirs.keys.at <= now):
        keys = theirs.keys
    return Snapshot(ours.issuer, keys, _newest_picture(ours, theirs, now), ours.withdrawn | theirs.withdrawn)


def _newest_picture(ours: Snapshot, theirs: Snapshot, now: float) -> KnownPicture | None:
    one, other = ours.picture, theirs.picture
    if one is None or other is None:
        return one or other
    is_later = one.at < other.at <= now
    if one.state.epoch != other.state.epoch:
        return other if is_later else one
    # Whoever has come further knows at least what the other knew, and so was complete when the other was.
    furthest = other if other.state.seq > one.state.seq else one
    return KnownPicture(other.at if is_later else one.at, furthest.state)


def _read_private(path: Path) -> bytes:
    # Without O_NONBLOCK a pipe that stands there would be waited for, for ever.
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        _require_private(os.fstat(descriptor))
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            body = file.read(MAX_SNAPSHOT_BYTES + 1)
    finally:
        os.close(descriptor)
    if len(body) > MAX_SNAPSHOT_BYTES:
        raise SnapshotUnusable("it is too large")
    return body


def _require_private(status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise SnapshotUnusable("it is no file")
    if status.st_uid != os.geteuid():
        raise SnapshotUnusable("it belongs to somebody else")
    if status.st_mode & _OTHERS:
        raise SnapshotUnusable("others may read or write it")


def _body(snapshot: Snapshot) -> bytes:
    keys, picture = snapshot.keys, snapshot.picture
    document = {
        "format": _FORMAT,
        "issuer": snapshot.issuer,
        "keys": None if keys is None else {"at": keys.at, "jwks": write_jwks(keys.keys)},
        "withdrawn": _joined(sorted(snapshot.withdrawn)),
        "picture": None if picture is None else {"at": picture.at, **_written(picture.state)},
    }
    return json.dumps(document, separators=(",", ":")).encode()


def _written(state: PictureState) -> dict[str, object]:
    """Columns instead of rows: half the size, and read without the depth of the brackets having to be counted. A name has
    its newest number, and stays as long as the last rule about it."""
    known: dict[bytes, tuple[int, int]] = {}
    for digest, number, expiry in state.rules:
        before = known.get(digest, (0, 0))
        known[digest] = max(number, before[0]), max(expiry, before[1])
    expiries = [None if expiry == NEVER else expiry for _, expiry in known.values()]
    columns = {"digests": _joined(known), "numbers": [number for number, _ in known.values()], "expiries": expiries}
    return {"epoch": state.epoch, "seq": state.seq, **columns}


def _keys(value: object) -> KnownKeys | None:
    if value is None:
        return None
    members = _object(value)
    return KnownKeys(_moment(members["at"]), read_jwks(json.dumps(members["jwks"]).encode(), ALGORITHMS))


def _picture(value: object) -> KnownPicture | None:
    if value is None:
        return None
    members = _object(value)
    epoch, seq = members["epoch"], _whole(members["seq"])
    digests, numbers, expiries = _digests(members["digests"]), _list(members["numbers"]), _list(members["expiries"])
    if not isinstance(epoch, str) or len({len(digests), len(set(digests)), len(numbers), len(expiries)}) != 1:
        raise ValueError("columns of different length, a digest twice, or no epoch")
    known = [_whole(number) for number in numbers]
    if max(known, default=0) > seq:
        raise ValueError("a rule is ahead of the picture")
    ends = [NEVER if each is None else min(_whole(each), NEVER) for each in expiries]
    return KnownPicture(
        _moment(members["at"]), PictureState(epoch, seq, RuleColumns.of(b"".join(digests), known, ends))
    )


def _joined(digests: Iterable[bytes]) -> str:
    return b64encode(b"".join(digests)).decode()


def _digests(value: object) -> list[bytes]:
    if not isinstance(value, str):
        raise TypeError("not a text")
    data = b64decode(value, validate=True)
    if len(data) % DIGEST_BYTES:
        raise ValueError("cut off")
    return list(split(data))


def _object(value: object) -> dict[str, object]:
    if not isinstance(value, dict):
        raise TypeError("not an object")
    return value


def _list(value: object) -> list[object]:
    if not isinstance(value, list):
        raise TypeError("not an array")
    return value


def _whole(value: object) -> int:
    if value.__class__ is not int or not 0 <= value < 2**63:
        raise TypeError("not a whole number")
    return value


def _moment(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 2**40:
        raise TypeError("not a moment")
    return float(value)
