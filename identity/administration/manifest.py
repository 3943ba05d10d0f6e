"""What lies in the folder of a backup."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from identity.administration.errors import AdministrationError

DATABASE: Final = "database"
KEYS: Final = "keys"
_MANIFEST = "manifest.json"
_FORMAT = 1


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a backup holds. `seq` is the last rule that is certainly in it; `keys` whether the keys are."""

    issuer: str
    made_at: str
    engine: str
    revision: str
    seq: int
    keys: bool
    format: int = _FORMAT

    def write(self, folder: Path) -> None:
        """Writes it beside what it tells of."""
        descriptor = os.open(folder / _MANIFEST, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump(asdict(self), file, indent=1)
            file.flush()
            os.fsync(file.fileno())

    @classmethod
    def read(cls, folder: Path) -> Manifest:
        """Returns what `write` wrote, or raises `AdministrationError`."""
        try:
            document = json.loads((folder / _MANIFEST).read_text(encoding="utf-8"))
            if document["format"] != _FORMAT:
                raise AdministrationError(f"{folder} was made by another version of this program.")
            return cls(**document)
        except FileNotFoundError:
            raise AdministrationError(f"{folder / _MANIFEST} is missing: this is no finished backup.") from None
        except (ValueError, KeyError, TypeError):
            raise AdministrationError(f"{folder / _MANIFEST} is damaged.") from None


def make_folder(folder: Path) -> None:
    """Makes the new folder of a backup, which only its owner can enter."""
    try:
        folder.mkdir(mode=0o700, parents=True)
    except FileExistsError:
        raise AdministrationError(f"{folder} exists already; every backup has a folder of its own.") from None
