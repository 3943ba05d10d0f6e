"""The keyring as JSON text: what `keyring.json` and the row in SQL hold. Nothing secret stands in it."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from identity.keyring.public_keys import published_key
from identity.keyring.states import Keyring, KeyState, RefreshKeyRecord, SigningKeyRecord


def write_keyring(keyring: Keyring) -> str:
    """Returns the text of a keyring."""
    return json.dumps(asdict(keyring), indent=1)


def read_keyring(text: str | bytes) -> Keyring:
    """Returns the keyring of a text, or raises `ValueError`; `KeyringError` where the states contradict each other."""
    try:
        return _parse(json.loads(text))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(type(error).__name__) from None


def _parse(document: dict[str, Any]) -> Keyring:
    signing = tuple(SigningKeyRecord(**{**item, "state": KeyState(item["state"])}) for item in document["signing"])
    for record in signing:
        # What stands here is published: exactly the public members of the very key that the kid names (K02, K03).
        published_key(record.public)
        if record.public["kid"] != record.kid:
            raise ValueError
        # Compared with the clock by whoever runs beside the endpoints, and nothing there may end with a surprise.
        _require_times(record.created_at, *(at for at in (record.promoted_at, record.replaced_at) if at is not None))
    refresh = tuple(RefreshKeyRecord(**item) for item in document["refresh"])
    _require_times(document["version"], *(record.created_at for record in refresh))
    return Keyring(document["version"], signing, refresh, str(document.get("moved_to", "")))


def _require_times(*numbers: object) -> None:
    if not all(type(number) is int for number in numbers):
        raise ValueError
