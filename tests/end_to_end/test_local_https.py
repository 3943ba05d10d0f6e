"""`identity dev --tls`: the story over https, on loopback, with an authority that nobody has to trust by accident."""

from __future__ import annotations

import json
import re
import ssl
import subprocess
from http.cookies import SimpleCookie
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import urlopen

from httpx2 import Client
from test_story import story_of

DOCUMENT = Path(__file__).parents[2] / "docs/local-https.md"
SIGN_IN = {
    "client_id": "demo-web",
    "redirect_uri": "http://127.0.0.1:54321/callback",
    "response_type": "code",
    "scope": "openid",
    "code_challenge": "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM",
    "code_challenge_method": "S256",
}


def test_the_story_comes_out_over_https(make_dev):
    """The commands are pasted as they are, up to the rotation, which is the same as ever; the service trusts the authority,
    and whoever was not told about it trusts nobody. Then the pages: U06, the cookies are `__Host-` ones.
    A command beside it reads tokens of the https issuer."""
    dev = make_dev("--tls")
    dev.start()
    authority = dev.data_dir / "tls" / "ca.pem"
    printed = dev.printed()
    assert f"Both speak https. Who vouches for them, on loopback only: {authority}." in printed
    for how in (f"--cacert {authority}", f"NODE_EXTRA_CA_CERTS={authority}", f"SSL_CERT_FILE={authority}"):
        assert how in printed
    script, _, rotation = story_of(printed).rpartition("\n")
    assert "keys rotate" in rotation
    done = subprocess.run(
        ["bash", "-c", script], env=dev.environment, cwd=dev.folder, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert re.findall(r"HTTP/1.1 (\d+)", done.stdout) == ["200", "403", "200", "401"]
    (told,) = re.findall(r"`(curl --cacert [^`]+)`", DOCUMENT.read_text())
    told = told.replace("https://127.0.0.1:8000", dev.issuer)
    shown = subprocess.run(["bash", "-c", told], cwd=dev.folder, capture_output=True, text=True, timeout=30)
    assert shown.stdout == '{"status":"ready"}', shown.stderr
    distrustful = subprocess.run(["curl", "-s", dev.issuer], capture_output=True, timeout=30)
    assert distrustful.returncode == 60
    trust = ssl.create_default_context(cafile=str(authority))
    with urlopen(f"https://localhost:{dev.port}/.well-known/openid-configuration", context=trust) as answer:
        assert json.load(answer)["issuer"] == dev.issuer
    with Client(verify=trust, base_url=dev.issuer) as browser:
        sign_in_with_flagged_cookies(browser)
        login = {"grant_type": "password", "username": "alice", "password": "wonderland"}
        token = browser.post("/token", data=login).json()["access_token"]
    ended = dev.command("revoke", "--token", "-", stdin=token)
    assert ended.returncode == 0, ended.stderr
    assert dev.stop() == 0


def sign_in_with_flagged_cookies(browser: Client) -> None:
    """U06: what a browser is given on the way through the login page."""
    sent = browser.get("/authorize", params=SIGN_IN)
    page = browser.get(sent.headers["location"])
    (interaction,) = re.findall(r'name="interaction" value="([^"]+)"', page.text)
    fields = {"interaction": interaction, "username": "alice", "password": "wonderland"}
    answer = browser.post("/login", data=fields)
    assert answer.status_code == 303
    assert urlsplit(answer.headers["location"]).path == "/consent"
    for response, name in ((sent, "__Host-identity-browser"), (answer, "__Host-identity-session")):
        (given,) = SimpleCookie(response.headers["set-cookie"]).items()
        assert given[0] == name
        assert {flag: value for flag, value in given[1].items() if value} == {
            "path": "/", "secure": True, "httponly": True, "samesite": "lax",
        }  # fmt: skip


def test_a_second_start_has_the_same_authority(make_dev):
    """What was told to trust it still does; and the stories are the same."""
    dev = make_dev("--tls")
    dev.start()
    authority, first = dev.data_dir / "tls" / "ca.pem", story_of(dev.printed())
    before = authority.read_bytes()
    assert dev.stop() == 0
    dev.start()
    assert authority.read_bytes() == before
    assert story_of(dev.printed()) == first
    with urlopen(f"{dev.orders}/health", context=ssl.create_default_context(cafile=str(authority))) as answer:
        assert answer.status == 200


def refused(dev) -> str:
    """The one sentence of a start that is refused."""
    ports = ["--port", str(dev.port), "--resource-port", str(dev.resource_port)]
    done = dev.command("dev", *dev.flags, *ports)
    assert done.returncode == 2, done.stderr
    (sentence,) = [line for line in done.stderr.splitlines() if line.startswith("identity: ")]
    return sentence


def test_an_authority_that_is_broken_is_one_sentence(make_dev):
    dev = make_dev("--tls")
    folder = dev.data_dir / "tls"
    folder.mkdir(parents=True)
    for name in ("ca.pem", "ca-key.pem"):
        (folder / name).write_text("torn")
    assert refused(dev).startswith(f"identity: {folder / 'ca.pem'} is no authority that can be used (")


def test_a_logo_that_is_none_is_one_sentence(make_dev):
    """A10: as with `identity serve`."""
    dev = make_dev(IDENTITY_LOGO_FILE="/dev/null")
    assert refused(dev) == "identity: IDENTITY_LOGO_FILE: /dev/null is no SVG, PNG, JPEG or WebP"
