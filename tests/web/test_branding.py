"""What an operator puts in the place of our pages' looks, and what is refused because pages would not work."""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from browser import Flow, agreed, answer_of, sign_in, submit, to_login
from issuer_in_process import Issuer

from identity.settings import ConfigurationError, Settings
from identity.web import colors
from identity.web.branding import _CSS as CSS
from identity.web.branding import TEMPLATES, Branding
from identity.web.logo import MAX_LOGO_BYTES
from identity.web.template_checks import EXAMPLES, problems_of

SVG = b'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 9 9"><script>alert(1)</script><rect width="9" height="9"/></svg>'
DOCUMENT = Path(__file__).parents[2] / "docs/branding.md"
OURS = Path(__file__).parents[2] / "identity/web/templates"

SettingsOf = Callable[..., Settings]


def png() -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"\0\0")) + chunk(b"IEND", b"")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "templates"
    made.mkdir()
    return made


@pytest.fixture
def problems(settings_of: SettingsOf) -> Callable[..., list[str]]:
    """What a server with these settings says instead of starting."""

    def of(**changes: Any) -> list[str]:
        with pytest.raises(ConfigurationError) as raised:
            Branding.of(settings_of(**changes))
        return raised.value.problems

    return of


def changed(name: str, old: str, new: str) -> str:
    """Our own template, with a slip of the pen."""
    text = (OURS / name).read_text()
    assert old in text
    return text.replace(old, new)


async def test_the_name_is_on_every_page(start_issuer: Any) -> None:
    async with start_issuer(brand_name="Acme & Söhne") as issuer:
        page = await to_login(issuer, Flow())
        error = await issuer.http.get("/login")
    for each in (page, error):
        assert " · Acme &amp; Söhne</title>" in each.text
        assert re.search(r'<header class="brand">\s*Acme &amp; Söhne\s*</header>', each.text)


@pytest.mark.parametrize(
    ("body", "media_type"),
    [
        (SVG, "image/svg+xml"),
        (b'\xef\xbb\xbf<?xml version="1.0"?>\n<!-- made by hand -->\n<!DOCTYPE svg>\n' + SVG, "image/svg+xml"),
        (png(), "image/png"),
        (b"\xff\xd8\xff\xe0" + bytes(20), "image/jpeg"),
        (b"RIFF\x24\0\0\0WEBPVP8 " + bytes(20), "image/webp"),
    ],
)
async def test_a10_the_logo_is_ours_and_harmless(
    start_issuer: Any, tmp_path: Path, body: bytes, media_type: str
) -> None:
    """Its kind is that of its content; opened by itself, a script in it does not run."""
    path = tmp_path / "logo.any"
    path.write_bytes(body)
    async with start_issuer(logo_file=path, brand_name="Acme") as issuer:
        page = await to_login(issuer, Flow())
        (address,) = re.findall(r'<img src="([^"]+)" alt="Acme">', page.text)
        answer = await issuer.http.get(address)
        missing = await issuer.http.get("/assets/logo.any")
    assert address.startswith("/assets/")
    assert f'<link rel="icon" href="{address}">' in page.text
    assert answer.status_code == 200
    assert answer.content == body
    assert answer.headers["content-type"] == media_type
    assert answer.headers["x-content-type-options"] == "nosniff"
    policy = answer.headers["content-security-policy"].split("; ")
    assert {"default-src 'none'", "sandbox", "frame-ancestors 'none'"} <= set(policy)
    assert not any(directive.startswith("script-src") for directive in policy)
    assert missing.status_code == 404


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (None, "FileNotFoundError"),
        (b"", "is no SVG, PNG, JPEG or WebP"),
        (b"<html><svg></svg></html>", "is no SVG"),
        (b'<!DOCTYPE svg [<!ENTITY a "aaaa">]>' + SVG, "is no SVG"),
        (b"GIF89a", "is no SVG"),
        (b"<!-- -->" * 30_000, "is no SVG"),
        (png() + bytes(MAX_LOGO_BYTES), "is larger than 256 KiB"),
    ],
)
def test_any_other_logo_is_refused_at_start(
    problems: Callable[..., list[str]], tmp_path: Path, body: bytes | None, said: str
) -> None:
    path = tmp_path / "logo.svg"
    if body is not None:
        path.write_bytes(body)
    (problem,) = problems(logo_file=path)
    assert problem.startswith(f"IDENTITY_LOGO_FILE: {path} ")
    assert said in problem


async def test_a_template_takes_the_place_of_ours_and_the_rest_stays(start_issuer: Any, folder: Path) -> None:
    """P01, A10: ours is still there to be built upon, values are escaped, the policy is as strict, and people get in."""
    (folder / "page.html").write_text(
        '{% extends "ours/page.html" %}{% block foot %}{% include "_links.html" %}{% endblock %}'
    )
    (folder / "_links.html").write_text('<a href="https://acme.example/privacy">Privacy</a>')
    (folder / "login.html").write_text(changed("login.html", "<h1>Sign in</h1>", "<h1>Welcome to Acme</h1>"))
    (folder / "brand.css").write_text(".card { border-radius: 0 }")
    async with start_issuer(templates_dir=folder) as issuer:
        page = await to_login(issuer, Flow(), login_hint='"><b>x')
        error = await issuer.http.get("/login")
        (styles,) = re.findall(r'<link rel="stylesheet" href="([^"]+)">', page.text)
        css = (await issuer.http.get(styles)).content
        answer = answer_of(await agreed(issuer, await submit(issuer, page)))
    assert "<h1>Welcome to Acme</h1>" in page.text
    assert 'value="&#34;&gt;&lt;b&gt;x"' in page.text
    assert page.headers["content-security-policy"].startswith("default-src 'none'; style-src 'self'; img-src 'self';")
    assert '<a href="https://acme.example/privacy">Privacy</a>' in error.text
    assert "Please start again" in error.text
    assert css.startswith(CSS)
    assert css.endswith(b"border-radius: 0 }")
    assert "code" in answer


def test_our_own_templates_pass_every_check(settings_of: SettingsOf) -> None:
    """P01: with and without a logo, and each of them has an example."""
    assert {*EXAMPLES, "page.html"} == TEMPLATES, "add an Example of the new page to identity/web/template_checks.py"
    assert problems_of(Branding.of(settings_of()).templates, TEMPLATES) == []


@pytest.mark.parametrize(
    ("name", "old", "new", "problem"),
    [
        ("login.html", 'id="username"', 'id="user"', 'has no <input id="username" name="username"> in its form'),
        ("login.html", 'name="username"', 'name="user"', 'has no <input id="username" name="username"> in its form'),
        (
            "login.html",
            'type="password"',
            'type="text"',
            'has no <input id="password" name="password" type="password"> in its form',
        ),
        ("login.html", 'id="login-submit"', 'id="go"', 'has no <button id="login-submit"> in its form'),
        ("login.html", 'type="submit"', 'type="button"', 'has no <button id="login-submit"> in its form'),
        ("login.html", '<button id="login-submit"', '</form><button id="login-submit"', "in its form"),
        ("login.html", '<input type="hidden" name="interaction"', '<!-- <input name="interaction"', "interaction"),
        ("login.html", "{{ interaction }}", "", 'has no <input type="hidden" name="interaction" value="..."> in its'),
        ("login.html", 'method="post"', "", 'has no <form method="post" action="{{ action }}">'),
        ("login.html", "{{ action }}", "/login", 'has no <form method="post" action="{{ action }}">'),
        ("login.html", ">{{ problem }}<", "><", "does not show 'That was wrong .', which it was given"),
        ("login.html", "{{ client }}</strong>", "</strong>", "does not show 'Client', which it was given"),
        ("login.html", "{{ client }}", "{{ client | safe }}", "shows a value without escaping it"),
        ("consent.html", 'id="consent-allow"', "", '<button id="consent-allow" name="decision" value="allow">'),
        ("consent.html", 'value="deny"', "", '<button id="consent-deny" name="decision" value="deny">'),
        ("consent.html", "<li>{{ scope }}</li>", "", "does not show 'First of all', which it was given"),
        ("consent.html", "{% for scope in scopes %}", "{% for scope in scopes[:1] %}", "does not show 'scope:'"),
        ("consent.html", "{{ username }}", "you", "does not show 'person'"),
        ("logout.html", 'id="logout-confirm"', 'id="logout"', 'has no <button id="logout-confirm"> in its form'),
        ("form_post.html", "{{ value }}", "", 'has no <input type="hidden" name="code" value="..."> in its form'),
        ("error.html", "{{ text }}", "Sorry.", "does not show 'Text', which it was given"),
        ("login.html", "<h1>", "<script>1</script><h1>", "has a <script>, which the pages' policy blocks"),
        ("login.html", "<h1>", '<h1 style="color: red">', "has the attribute style, which the pages' policy blocks"),
        ("login.html", "<h1>", '<h1 onclick="go()">', "has the attribute onclick, which the pages' policy blocks"),
        ("page.html", "{{ stylesheet }}", "https://cdn.example/a.css", "loads https://cdn.example/a.css, which"),
        ("page.html", "{{ stylesheet }}", "//cdn.example/a.css", "loads //cdn.example/a.css, which"),
        ("page.html", "{% block content %}", "{% block main %}", 'has no <form method="post" action="{{ action }}">'),
        ("login.html", "{{ client }}", "{{ customer }}", "cannot be shown: 'customer' is undefined"),
        ("login.html", "{{ client }}", "{{ client }", "does not compile: line 2: unexpected '}'"),
        ("page.html", "{% endblock %}</footer>", "</footer>", "uses page.html, which does not compile: line "),
        ("login.html", '"page.html"', '"base.html"', "uses base.html, which is not there"),
        ("error.html", "{{ hint }}", "{{ 1 / 0 }}", "cannot be shown: division by zero"),
    ],
)
def test_p01_a_template_that_breaks_its_page_is_refused_at_start(
    problems: Callable[..., list[str]], folder: Path, name: str, old: str, new: str, problem: str
) -> None:
    """A10: nor may it try what the pages' policy blocks: people would see half a page."""
    (folder / name).write_text(changed(name, old, new))
    found = problems(templates_dir=folder)
    page = "login.html" if name == "page.html" else name
    assert any(each.startswith(f"IDENTITY_TEMPLATES_DIR: {page} ") and problem in each for each in found), found
    assert len(found) == len(set(found))


def test_every_problem_of_the_pages_is_said_at_once(
    problems: Callable[..., list[str]], folder: Path, tmp_path: Path
) -> None:
    (folder / "logn.html").write_text("")
    found = problems(templates_dir=folder, logo_file=tmp_path)
    assert found[0] == f"IDENTITY_LOGO_FILE: {tmp_path} cannot be read: IsADirectoryError"
    assert found[1].startswith("IDENTITY_TEMPLATES_DIR: logn.html takes the place of none of consent.html, ")
    assert len(found) == 2


def test_a_folder_that_is_not_there_is_refused(problems: Callable[..., list[str]], folder: Path) -> None:
    for path in (folder / "missing", folder / "file"):
        (folder / "file").write_text("")
        (problem,) = problems(templates_dir=path)
        assert problem.startswith(f"IDENTITY_TEMPLATES_DIR: {path} is no folder that can be read: ")


@pytest.mark.parametrize("accent", ["#000000", "#ffffff", "#1d4ed8", "#FFD400", "#777777", "#e30613", "#00ff00"])
async def test_an_accent_can_be_read_whatever_it_is(start_issuer: Any, accent: str) -> None:
    """Text on it, and text in it, has a contrast of at least 4.5 (WCAG 2.2 section 1.4.3), on both grounds."""
    async with start_issuer(accent_color=accent) as issuer:
        page = await to_login(issuer, Flow())
        (styles,) = re.findall(r'<link rel="stylesheet" href="([^"]+)">', page.text)
        css = (await issuer.http.get(styles)).text.removeprefix(CSS.decode())
    assert "style=" not in page.text
    assert css.count(f"--accent: {accent.lower()};") == 2
    on = [colors.parse_color(each) for each in re.findall(r"--on-accent: (#\w+);", css)]
    inks = [colors.parse_color(each) for each in re.findall(r"--accent-ink: (#\w+);", css)]
    assert all(colors.contrast(each, colors.parse_color(accent)) >= 4.5 for each in on)
    for ink, card in zip(inks, (colors.LIGHT_CARD, colors.DARK_CARD), strict=True):
        assert colors.contrast(ink, card) >= 4.5


def test_white_or_black_can_be_read_on_every_colour() -> None:
    steps = range(0, 256, 15)
    worst = min(
        colors.contrast(colors.text_on((red, green, blue)), (red, green, blue))
        for red in steps
        for green in steps
        for blue in steps
    )
    assert worst > 4.5
    assert colors.contrast(colors.WHITE, colors.BLACK) == pytest.approx(21)
    assert colors.contrast((0x76, 0x76, 0x76), colors.WHITE) == pytest.approx(4.54, abs=0.01)


def test_our_own_colours_can_be_read() -> None:
    """Texts 4.5, what is seen of fields and of the focus 3 (WCAG 2.2 sections 1.4.3 and 1.4.11), light and dark."""
    light, dark = re.findall(r":root \{(.*?)\}", CSS.decode(), re.S)
    for scheme, card in ((light, colors.LIGHT_CARD), (dark, colors.DARK_CARD)):
        named = {name: colors.parse_color(value) for name, value in re.findall(r"--([\w-]+): (#\w{6});", scheme)}
        assert named["card"] == card
        for text, ground in (
            ("text", "card"), ("text", "ground"), ("muted", "card"), ("muted", "ground"), ("accent-ink", "card"),
            ("accent-ink", "ground"), ("on-accent", "accent"), ("problem", "problem-ground"),
        ):  # fmt: skip
            assert colors.contrast(named[text], named[ground]) >= 4.5, (text, ground)
        assert colors.contrast(named["line"], named["card"]) >= 3
        assert colors.contrast(named["problem"], named["card"]) >= 3


async def test_pages_that_are_branded_are_found_below_an_issuers_path(start_issuer: Any, tmp_path: Path) -> None:
    """An issuer that shares its host with others."""
    (tmp_path / "logo.svg").write_bytes(SVG)
    async with start_issuer(issuer="http://127.0.0.1:8000/id", logo_file=tmp_path / "logo.svg") as issuer:
        page = await issuer.http.get("/id/login")
        addresses = re.findall(r'(?:href|src)="([^"]+)"', page.text)
        answers = [await issuer.http.get(address) for address in addresses]
    assert len(addresses) == 3
    assert all(address.startswith("/id/assets/") for address in addresses)
    assert {answer.status_code for answer in answers} == {200}


async def test_what_the_document_shows_is_taken(start_issuer: Any, folder: Path, tmp_path: Path) -> None:
    """Its settings, its template, and the sentences it says a start is refused with."""
    text = DOCUMENT.read_text()
    exported = dict(re.findall(r'^export IDENTITY_(\w+)="?([^"\n]*)"?$', text, re.M))
    (tmp_path / "logo.svg").write_bytes(SVG)
    assert exported.pop("LOGO_FILE") == "/etc/identity/logo.svg"
    (template,) = re.findall(r"^```html\n(.*?)^```$", text, re.S | re.M)
    (folder / "page.html").write_text(template)
    settings = {name.lower(): value for name, value in exported.items()}
    async with start_issuer(**settings, logo_file=tmp_path / "logo.svg", templates_dir=folder) as issuer:
        page = await to_login(issuer, Flow())
    assert '<a href="https://acme.example/privacy">Privacy</a>' in page.text
    assert 'alt="Acme"' in page.text
    told = re.findall(r"^identity: IDENTITY_TEMPLATES_DIR: (\S+) (.*)$", text, re.M)
    assert len(told) == 2
    assert {name for name, _ in told} <= TEMPLATES
    assert set(re.findall(r"^\| `(\w+\.html)` \|", text, re.M)) == TEMPLATES


async def test_without_a_setting_nothing_is_different(issuer: Issuer) -> None:
    assert "code" in await sign_in(issuer, Flow())
