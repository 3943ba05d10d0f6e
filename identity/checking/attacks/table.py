"""All attacks, in the order in which they are made."""

from __future__ import annotations

from typing import Final

from identity.checking.attacks import algorithms, claims, forms, headers, times, transport
from identity.checking.attacks.attack import Attack

GROUPS: Final[tuple[tuple[str, tuple[Attack, ...]], ...]] = (
    ("algorithms", algorithms.ATTACKS),
    ("headers", headers.ATTACKS),
    ("claims", claims.ATTACKS),
    ("times", times.ATTACKS),
    ("forms", forms.ATTACKS),
    ("transport", transport.ATTACKS),
)
"""After each group a good token must still be accepted: a service that refuses everything withstands nothing."""

SCOPES: Final = claims.SCOPE_ATTACKS
