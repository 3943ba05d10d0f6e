"""Must show 2: a verifier that stands still would refuse the tokens of a key it has not seen, so it holds up the rotation."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

from dev_process import IDENTITY, Dev, wait_until
from test_acknowledgement import verifiers_of
from test_rotation_under_load import TEST_SETTINGS, kid_of
from test_story import log_in

from identity.keyring.document import read_keyring


async def test_a_frozen_verifier_blocks_promotion_and_is_named(make_dev, connect) -> None:
    """K01: with nobody's `--force` nothing signs before it is known to all, and an operator learns whom to look at."""
    dev = make_dev(**TEST_SETTINGS)
    dev.start()
    wait_until(lambda: [each["holds_next_key"] for each in verifiers_of(dev)] == [True], 20)
    (orders,) = verifiers_of(dev)
    refusal = f"The next key may not sign yet: the verifier orders/{orders['instance']} does not hold it."
    with frozen(dev, "resource_example"):
        known = dev.command("keys", "rotate", "--wait", "--json")
        assert known.returncode == 0, "the key that signs now was known to it, so it held nothing up"
        waiting = start_waiting(dev)
        wait_until(lambda: refusal in told_by(dev), 30)  # First it waits for the server, too.
        asked = dev.command("keys", "rotate")
        assert (asked.returncode, asked.stderr) == (1, f"identity: {refusal}\n")
        assert waiting.poll() is None
        assert current_kid(dev) == json.loads(known.stdout)["kid"], "a refusal changes nothing"
    assert waiting.wait(30) == 0, "it woke up, fetched the key and said so"
    promoted = current_kid(dev)
    assert promoted != json.loads(known.stdout)["kid"]
    async with asyncio.timeout(10):  # A server that runs signs by it within 5 s.
        while kid_of(token := (await log_in(connect(dev.issuer)))["access_token"]) != promoted:
            await asyncio.sleep(0.1)
    assert (await connect(dev.orders).get("/orders", token)).status == 200


@contextmanager
def frozen(dev: Dev, program: str) -> Iterator[None]:
    """Stops a process of the installation where it stands, without ending it, for the length of the block."""
    (process,) = dev.processes_of(program)
    os.kill(process, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(process, signal.SIGCONT)


def current_kid(dev: Dev) -> str:
    return read_keyring((dev.folder / "keys/keyring.json").read_bytes()).current.kid


def start_waiting(dev: Dev) -> subprocess.Popen[bytes]:
    """Starts a rotation that waits, and leaves it to itself."""
    with (dev.folder / "waiting.txt").open("wb") as output:
        return subprocess.Popen(
            [*IDENTITY, "keys", "rotate", "--wait", "--data-dir", str(dev.data_dir)],
            env=dev.environment,
            cwd=dev.folder,
            stdout=output,
            stderr=subprocess.STDOUT,
        )


def told_by(dev: Dev) -> str:
    return (dev.folder / "waiting.txt").read_text()
