"""Why there is no answer to use. None of them carries what the other side said: it is a stranger's text.

OutboundError
├── AddressRefused    nothing was sent: the address is none that this server goes to
├── NotReached        nobody there, no TLS with that name, or no answer in time
└── AnswerRefused     an answer of another status, too large, or not JSON; `status` is what it had
"""

from __future__ import annotations


class OutboundError(Exception):
    """There is no answer to use; its text is for the log and has nothing that the other side wrote."""


class AddressRefused(OutboundError):
    """Nothing was sent, and trying again will not help before somebody changes the address or a setting."""


class NotReached(OutboundError):
    """Nobody answered; another time somebody may."""


class AnswerRefused(OutboundError):
    """Somebody answered, and not with what was asked for."""

    def __init__(self, reason: str, status: int) -> None:
        super().__init__(reason)
        self.status = status
