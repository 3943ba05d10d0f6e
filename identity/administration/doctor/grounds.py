"""Checks of what lies still: settings, keys, disks."""

from __future__ import annotations

import shutil
import stat
import time

from identity.administration.doctor.findings import Found, good, problem, warning
from identity.administration.doctor.patient import Patient
from identity.administration.key_schedule import PATIENCE_SECONDS
from identity.keyring.folder import KeyFolder
from identity.keyring.live import load_keys
from identity.keyring.states import KeyringError

_LEAST_FREE_BYTES = 200 * 2**20
_LEAST_FREE_SHARE = 0.05
_DAY = 86_400


async def settings(patient: Patient) -> list[Found]:
    """The settings are valid, or no check would run; one of them is for the first start only."""
    if patient.facts.keeps_first_password and await patient.sql.has_people():
        return warning("IDENTITY_BOOTSTRAP_ADMIN_PASSWORD is still set; there are people now, remove it.")
    return good("The settings are valid.")


async def keys_readable(patient: Patient) -> list[Found]:
    """Every key that signs, or will, can be loaded, is the one it is named for, and belongs to us alone (K08)."""
    try:
        keyring = (await load_keys(patient.keys)).keyring
    except (KeyringError, OSError) as error:
        return problem(str(error))
    if isinstance(patient.keys, KeyFolder) and (mode := stat.S_IMODE(patient.keys.path.stat().st_mode)) & 0o022:
        return problem(f"{patient.keys.path} can be written by others (mode {mode:o}); run `chmod 700` on it.")
    signing = [f"{record.kid} signs ({algorithm})" for algorithm, record in keyring.currents.items()]
    return good(f"{', '.join(signing)}; {len(keyring.published)} keys are published.")


async def keys_algorithms(patient: Patient) -> list[Found]:
    """Every algorithm that the settings name signs (K01, K04)."""
    keyring = await patient.keys.read()
    silent = [name for name in patient.facts.signing_algorithms if name not in keyring.currents]
    if not silent:
        return good(f"Keys sign with {', '.join(keyring.currents)}.")
    return warning(
        f"No key signs with {', '.join(silent)} yet: a running server adds and promotes one, or `identity keys add` and "
        f"`identity keys rotate --wait` do."
    )


async def keys_age(patient: Patient) -> list[Found]:
    """No current key signs much longer than the schedule says."""
    keyring, lifetime = await patient.keys.read(), patient.facts.key_lifetime
    age = time.time() - min(record.promoted_at or record.created_at for record in keyring.currents.values())
    signs = f"The current key has signed for {age / _DAY:.1f} days"
    if not lifetime:
        return good(f"{signs}; rotation is left to you.")
    if age > lifetime + PATIENCE_SECONDS:
        return warning(f"{signs}, {lifetime / _DAY:.0f} are scheduled; see why with `identity keys rotate`.")
    return good(f"{signs}, of {lifetime / _DAY:.0f} scheduled.")


async def keys_encrypted(patient: Patient) -> list[Found]:
    """Private keys are encrypted at rest (K05)."""
    if not isinstance(patient.keys, KeyFolder):
        return good("The private keys are sealed with a master key.")
    clear = await patient.keys.in_clear()
    if not clear:
        return good("The private keys are encrypted at rest.")
    if not patient.facts.is_production:
        return good("The private keys are not encrypted at rest, as is usual in development.")
    if patient.facts.has_passphrase:
        return warning(
            f"{', '.join(clear)}: made before the passphrase was set, and not encrypted until they are replaced."
        )
    return warning("The private keys are not encrypted at rest; IDENTITY_KEYS_PASSPHRASE_FILE would do that.")


async def disks(patient: Patient) -> list[Found]:
    """There is room where keys and embedded stores are written."""
    found: list[Found] = []
    for name, folder in patient.facts.folders.items():
        if not folder.exists():
            continue
        usage = shutil.disk_usage(folder)
        left = f"{usage.free / 2**30:.1f} GiB free for the {name} in {folder}"
        is_short = usage.free < _LEAST_FREE_BYTES or usage.free < _LEAST_FREE_SHARE * usage.total
        found += warning(f"Only {left}.") if is_short else good(f"{left}.")
    return found
