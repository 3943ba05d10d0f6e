"""A process that is killed at any step of a change leaves the old keyring or the new one (K07, F1)."""

from __future__ import annotations

import asyncio
import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from key_places import MASTER_TEXT, Somewhere, rotate
from test_key_places import CHANGER

from identity.keyring.live import load_keys
from identity.keyring.place import KeyPlace

FEWEST_STEPS = {"folder": 8, "sqlite": 5, "postgresql": 5}


@contextmanager
def dying(somewhere: Somewhere, which: str) -> Iterator[subprocess.Popen[str]]:
    program = Path(__file__).with_name("dying_changes.py")
    paths = os.pathsep.join(sys.path)
    argv = [sys.executable, str(program), somewhere.kind, somewhere.url, MASTER_TEXT, which]
    process = subprocess.Popen(
        argv,
        env={**os.environ, "PYTHONPATH": paths},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("which", ["rotation", "refresh"])
async def test_a_change_that_is_killed_at_any_step_leaves_the_old_keyring_or_the_new_one(
    somewhere: Somewhere, place: KeyPlace, which: str
) -> None:
    """K07: every key that is named is there, at every step; and the next change finds nothing in its way."""
    died = 0
    with dying(somewhere, which) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        while True:
            old = await place.read()
            process.stdin.write("\n")
            process.stdin.flush()
            line = await asyncio.to_thread(process.stdout.readline)
            new = (await load_keys(place)).keyring
            if line != "died\n":
                assert line == "through 0\n"
                break
            died += 1
            assert new == old or 0 < new.version - old.version <= 2
    assert died >= FEWEST_STEPS[somewhere.kind]
    assert new != old
    await rotate(place)
    loaded = await load_keys(place)
    if somewhere.kind == "folder":
        needed = len(loaded.keyring.published) + len(loaded.keyring.refresh) + len(["keyring.json", ".lock"])
        assert len(list(Path(somewhere.url).iterdir())) == needed, "nothing is left of those that died"


async def kill_at_random(somewhere: Somewhere, place: KeyPlace, seconds: float) -> int:
    """Has processes change the keyring as fast as they can, and kills each; after each death the keyring is whole."""
    kills, ends_at = 0, time.monotonic() + seconds
    argv = [sys.executable, "-c", CHANGER, str(Path(__file__).parent), somewhere.kind, somewhere.url, MASTER_TEXT]
    while time.monotonic() < ends_at:
        process = subprocess.Popen([*argv, str(10**6)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert process.stdin is not None
        assert process.stdout is not None
        assert await asyncio.to_thread(process.stdout.readline) == b"ready\n"
        process.stdin.write(b"\n")
        process.stdin.flush()
        before = (await place.read()).version
        while (await place.read()).version == before:
            assert process.poll() is None
            await asyncio.sleep(0.01)
        await asyncio.sleep(random.uniform(0, 0.1))
        process.kill()
        await asyncio.to_thread(process.communicate)
        assert (await load_keys(place)).keyring.version > before
        kills += 1
    return kills


async def test_a_process_killed_at_a_random_moment_leaves_a_whole_keyring(
    somewhere: Somewhere, place: KeyPlace
) -> None:
    """K07, F1"""
    assert await kill_at_random(somewhere, place, 0.1) >= 1


@pytest.mark.experiment
async def test_processes_killed_at_random_moments_for_a_minute(somewhere: Somewhere, place: KeyPlace) -> None:
    """K07, F1"""
    kills = await kill_at_random(somewhere, place, 60)
    print(f"\n{somewhere.kind}: {kills} kills, {(await place.read()).version} versions, 0 keyrings that did not load")
