"""The story that `identity dev` prints, run as a newcomer would run it."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from wire import Wire


def story_of(printed: str) -> str:
    """Cuts the commands out of what was printed."""
    lines = printed.split("Paste the story into another terminal:")[1].split("Ctrl-C stops")[0].splitlines()
    return "\n".join(line for line in lines if line and not line.startswith("#"))


async def log_in(wire: Wire, username: str = "alice", password: str = "wonderland") -> dict[str, str]:
    answer = await wire.form("/token", grant_type="password", username=username, password=password)
    assert answer.status == 200, answer.body
    return answer.json()


def test_the_printed_story_comes_out_as_its_comments_say(dev):
    """The commands are pasted as they are, rotation included; each answer is what the comment above it promises."""
    commands = {**dev.environment, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    script = story_of(dev.printed())
    done = subprocess.run(
        ["bash", "-c", script], env=commands, cwd=dev.folder, capture_output=True, text=True, timeout=90
    )
    assert done.returncode == 0, done.stderr
    told = done.stdout
    assert "signs now" in told
    statuses = re.findall(r"HTTP/1.1 (\d+)", told)
    assert statuses == ["200", "403", "200", "401"]
    assert 'error="insufficient_scope"' in told
    assert '"invalid_grant"' in told
    assert "wonderland" not in told
    assert told.count('"access_token"') == 1


async def test_a_logout_reaches_the_service_within_two_seconds(dev, connect):
    """Must show 2: 200, 403, refresh, logout, `invalid_grant`, and 401 for the old access token within 2 s."""
    issuer, orders = connect(dev.issuer), connect(dev.orders)
    first = await log_in(issuer)
    assert (await orders.get("/orders", first["access_token"])).status == 200
    refused = await orders.request(
        "POST",
        "/orders",
        '{"item":"tea"}',
        {"Authorization": f"Bearer {first['access_token']}", "Content-Type": "application/json"},
    )
    assert refused.status == 403
    assert 'error="insufficient_scope"' in refused.headers["www-authenticate"]
    second = (await issuer.form("/token", grant_type="refresh_token", refresh_token=first["refresh_token"])).json()
    assert (await issuer.form("/revoke", token=second["refresh_token"])).status == 200
    logged_out_at = time.monotonic()
    again = await issuer.form("/token", grant_type="refresh_token", refresh_token=second["refresh_token"])
    assert (again.status, again.json()["error"]) == (400, "invalid_grant")
    while (await orders.get("/orders", first["access_token"])).status != 401:
        assert time.monotonic() - logged_out_at < 2.0
    assert (await orders.get("/orders", second["access_token"])).status == 401
    print(f"logout to refusal: {time.monotonic() - logged_out_at:.3f} s")


async def test_a_second_start_keeps_everything(make_dev, connect):
    """Sessions, people, keys and the demo's secrets are those of the first start; Ctrl-C leaves nothing running."""
    dev = make_dev()
    dev.start()
    tokens = await log_in(connect(dev.issuer))
    first_story = story_of(dev.printed())
    assert dev.stop() == 0
    assert dev.processes() == []
    dev.start()
    assert story_of(dev.printed()) == first_story
    assert (await connect(dev.orders).get("/orders", tokens["access_token"])).status == 200
    answer = await connect(dev.issuer).form("/token", grant_type="refresh_token", refresh_token=tokens["refresh_token"])
    assert answer.status == 200


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.1", "::"])
def test_dev_refuses_addresses_others_can_reach(make_dev, host):
    refused = make_dev().command("dev", "--host", host)
    assert refused.returncode == 2
    assert refused.stderr.strip().count("\n") == 0
    assert "loopback" in refused.stderr


def test_a_second_dev_on_the_same_folder_is_refused(make_dev, dev):
    other = make_dev()
    refused = dev.command("dev", "--port", str(other.port), "--resource-port", str(other.resource_port))
    assert refused.returncode == 2
    assert str(dev.process.pid) in refused.stderr


def test_dev_never_makes_new_keys_for_old_data(make_dev):
    """K08: keys that are gone are a refusal, not a reason to make new ones."""
    dev = make_dev()
    dev.start()
    assert dev.stop() == 0
    (dev.folder / "keys").rename(dev.folder / "keys.lost")
    refused = dev.command("dev", "--port", str(dev.port), "--resource-port", str(dev.resource_port))
    assert refused.returncode == 2
    assert "holds no keyring" in refused.stderr
    assert not (dev.folder / "keys").exists()


async def test_a_waiting_poll_does_not_hold_up_a_stop(dev, connect):
    """F27: the poll is answered at once, and Ctrl-C is over long before the drain time."""
    cursor = (await connect(dev.issuer).get("/revocations")).json()
    path = f"/revocations?cursor={cursor['epoch']}.{cursor['seq']}&wait=25"
    polls = [asyncio.create_task(connect(dev.issuer).get(path)) for _ in range(3)]
    await asyncio.sleep(0.3)  # so that the polls are waiting when the signal comes
    asked_at = time.monotonic()
    dev.process.send_signal(signal.SIGINT)
    answers = await asyncio.gather(*polls)
    assert [answer.status for answer in answers] == [200, 200, 200]
    assert await asyncio.to_thread(dev.process.wait, 30) == 0
    assert time.monotonic() - asked_at < 8
    assert "Traceback" not in dev.printed()
