"""Whether a server is back, as the people of an experiment see it."""

from __future__ import annotations

from history import History, Kind, Outcome


def is_served(found: History, server: str, since: float) -> bool:
    """Whether somebody has logged in there since."""
    logins = found.of(Kind.LOGIN, outcome=Outcome.OK)
    return any(each.began >= since for each in logins if each.server == server)
