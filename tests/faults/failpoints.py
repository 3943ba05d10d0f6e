"""Places in the work of a server at which it can be made to die, put into a forked copy from outside."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from inspect import iscoroutinefunction
from typing import Any

from starlette.responses import Response

from identity.feed.ledger import Ledger
from identity.store.redis.families import RedisFamilies
from identity.store.redis.feed import RedisStream
from identity.store.redis.issued import RedisIssueCounts
from identity.tokens.access_token import AccessTokenMint

BEFORE, AFTER = "before", "after"

REFRESH = ("read", "step", "sign", "record", "respond")
"""What a refresh does, in order; the step is the compare-and-set and the commit at once."""

END = ("publish", "append", "respond")
"""What the end of a session does, after the transaction in SQL was committed; what is appended ends sessions, too."""

_PLACES: dict[str, tuple[type, str]] = {
    "read": (RedisFamilies, "read"),
    "step": (RedisFamilies, "step"),
    "sign": (AccessTokenMint, "mint"),
    "record": (RedisIssueCounts, "count"),
    "respond": (Response, "__call__"),
    "publish": (Ledger, "_publish"),
    "append": (RedisStream, "append"),
}
_ANSWERED_PATHS = frozenset({"/token", "/revoke"})


def arm(point: str, when: str, passage: int) -> None:
    """Has this process killed, as by a power failure, at the `passage`-th time it passes the point."""
    owner, name = _PLACES[point]
    setattr(owner, name, _deadly(getattr(owner, name), when, passage, point == "respond"))


def _deadly(work: Callable[..., Any], when: str, passage: int, is_answer: bool) -> Callable[..., Any]:
    left = passage

    def pass_by(moment: str, arguments: tuple[Any, ...]) -> None:
        nonlocal left
        if moment != when or (is_answer and arguments[1]["path"] not in _ANSWERED_PATHS):
            return
        left -= 1
        if left <= 0:
            os.kill(os.getpid(), signal.SIGKILL)

    async def later(*arguments: Any, **named: Any) -> Any:
        pass_by(BEFORE, arguments)
        result = await work(*arguments, **named)
        pass_by(AFTER, arguments)
        return result

    def now(*arguments: Any, **named: Any) -> Any:
        pass_by(BEFORE, arguments)
        result = work(*arguments, **named)
        pass_by(AFTER, arguments)
        return result

    return later if iscoroutinefunction(work) else now
