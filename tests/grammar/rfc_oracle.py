"""Judges answers by what the specifications say of them. It knows nothing of the server: URIs are read by urllib3, pages by
`html.parser`, and where browsers may go by a list beside the registrations."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Any
from urllib.parse import parse_qsl

from httpx2 import Response
from issuer_in_process import ISSUER
from registered import KNOWN
from request_grammar import CANARY, FormRequest, Sent
from urllib3.util import Url, parse_url

OWN_PAGES = ("/login", "/consent", "/logout/confirm")
AUTHORIZATION_ERRORS = frozenset(
    {
        # RFC 6749 section 4.1.2.1
        "invalid_request",
        "unauthorized_client",
        "access_denied",
        "unsupported_response_type",
        "invalid_scope",
        "server_error",
        "temporarily_unavailable",
        # OpenID Connect Core section 3.1.2.6
        "interaction_required",
        "login_required",
        "account_selection_required",
        "consent_required",
        "invalid_request_uri",
        "invalid_request_object",
        "request_not_supported",
        "request_uri_not_supported",
        "registration_not_supported",
        # RFC 8707 section 2; OpenID Connect Core Unmet Authentication Requirements
        "invalid_target",
        "unmet_authentication_requirements",
    }
)
TOKEN_ERRORS = frozenset(
    {
        # RFC 6749 section 5.2, RFC 8707 section 2
        "invalid_request",
        "invalid_client",
        "invalid_grant",
        "unauthorized_client",
        "unsupported_grant_type",
        "invalid_scope",
        "invalid_target",
        # RFC 9449 section 5 and 8
        "invalid_dpop_proof",
        "use_dpop_nonce",
    }
)
_NQSCHAR = re.compile(r"[\x20-\x21\x23-\x5b\x5d-\x7e]+")
"""What error and error_description are made of: RFC 6749 section 4.1.2.1 and 5.2."""

_URI = re.compile(r"[A-Za-z0-9\-._~:/?#\[\]@!$&'()*+,;=%]+")
"""RFC 3986: nothing else may be in a Location, or a browser makes of it what it likes."""

_TAGS = frozenset(
    {"html", "head", "meta", "title", "link", "body", "main", "h1", "p", "strong", "form", "input", "label", "button"}
    | {"ul", "li", "script", "header", "footer", "img", "span"}
)
_ATTRIBUTES = frozenset(
    {"lang", "charset", "name", "content", "rel", "href", "class", "method", "action", "type", "value", "id", "for"}
    | {"autocomplete", "autocapitalize", "spellcheck", "required", "maxlength", "autofocus", "role"}
    | {"aria-describedby", "aria-invalid", "aria-labelledby", "src", "alt"}
)
_SCRIPT = "document.forms[0].submit()"


@dataclass
class Page(HTMLParser):
    """A page as a parser sees it that we did not write."""

    tags: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    texts: list[tuple[str, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__(convert_charrefs=True)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attrs}))

    def handle_data(self, data: str) -> None:
        if data.strip():
            self.texts.append((self.tags[-1][0] if self.tags else "", data.strip()))

    def handle_comment(self, data: str) -> None:
        raise AssertionError(f"a comment on a page: {data}")

    def all(self, tag: str) -> list[dict[str, str]]:
        return [attributes for each, attributes in self.tags if each == tag]

    @property
    def fields(self) -> dict[str, str]:
        hidden = [each for each in self.all("input") if each.get("type") == "hidden"]
        assert len({each["name"] for each in hidden}) == len(hidden)
        return {each["name"]: each["value"] for each in hidden}


def read_page(answer: Response) -> Page:
    """A page that is nothing but ours, in the frame of headers of A10: no element, attribute or script is another's."""
    headers = answer.headers
    assert headers["content-type"] == "text/html; charset=utf-8"
    assert headers["x-frame-options"] == "DENY"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["x-content-type-options"] == "nosniff"
    assert "no-store" in headers["cache-control"]
    policy = [each.split() for each in headers["content-security-policy"].split(";")]
    assert ["frame-ancestors", "'none'"] in policy
    assert ["default-src", "'none'"] in policy
    assert len({each[0] for each in policy}) == len(policy), "a directive was smuggled in"
    page = Page()
    page.feed(answer.text)
    page.close()
    assert {tag for tag, _ in page.tags} <= _TAGS
    assert {name for _, attributes in page.tags for name in attributes} <= _ATTRIBUTES
    assert [text for tag, text in page.texts if tag == "script"] in ([], [_SCRIPT])
    assert len(page.all("form")) <= 1
    loaded = [*(link["href"] for link in page.all("link")), *(image["src"] for image in page.all("img"))]
    assert all(re.fullmatch(r"/assets/[0-9a-f]{16}\.[a-z]+", each) for each in loaded)
    assert not any(CANARY in text for _, text in page.texts), "what was sent stands on a page"
    return page


def is_address(found: str, registered: str) -> bool:
    """Tells whether a redirect URI is the registered one, read by its parts; the port of a loopback address may be another."""
    ours, theirs = parse_url(registered), parse_url(found)
    if ours.scheme not in ("http", "https"):
        return found == registered
    is_loopback = ours.scheme == "http" and ours.host in ("127.0.0.1", "[::1]")
    return _place(ours, is_loopback) == _place(theirs, is_loopback) and found.isascii()


def _place(url: Url, is_loopback: bool) -> tuple[Any, ...]:
    port = "any" if is_loopback else url.port
    return url.scheme, url.auth, url.host, port, url.path, url.query, url.fragment


def split_answer(location: str, registered: tuple[str, ...]) -> tuple[str, list[tuple[str, str]]]:
    """The registered redirect URI that a Location leads to, and what was put behind it; fails for any other place."""
    assert _URI.fullmatch(location), f"no URI: {location!r}"
    for each in registered:
        if "?" in each:
            own = each.partition("?")[2]
            address, _, query = location.partition("?")
            if query == own or query.startswith(own + "&"):
                address, query = f"{address}?{own}", query[len(own) + 1 :]
        else:
            address, _, query = location.partition("?")
        if is_address(address, each):
            return each, parse_qsl(query, keep_blank_values=True, strict_parsing=bool(query))
    raise AssertionError(f"an open redirect: {location!r}")


def judge_authorization(sent: Sent, answer: Response) -> str:
    """Fails unless an answer of the authorization endpoint is one of those that there may be; returns which."""
    assert answer.status_code in (200, 303, 400, 413, 415), answer.status_code
    assert "no-store" in answer.headers["cache-control"]
    if answer.status_code == 303:
        location = answer.headers["location"]
        if location.startswith("/"):
            path, _, query = location.partition("?")
            assert path in OWN_PAGES
            assert re.fullmatch(r"interaction=[A-Za-z0-9_-]{20,}", query)
            return path
        _, pairs = split_answer(location, _redirect_uris(sent))
        assert answer.headers["referrer-policy"] == "no-referrer"
        return _judge_parameters(sent, pairs)
    assert "location" not in answer.headers
    page = read_page(answer)
    if answer.status_code == 200:
        action = page.all("form")[0]["action"]
        assert page.all("form")[0]["method"] == "post"
        _, nothing = split_answer(action, _redirect_uris(sent))
        assert nothing == []
        return _judge_parameters(sent, list(page.fields.items()))
    assert not page.all("form")
    assert CANARY not in answer.text
    return "page"


def _redirect_uris(sent: Sent) -> tuple[str, ...]:
    (client_id,) = sent.all("client_id")
    return KNOWN[client_id].redirect_uris


def _judge_parameters(sent: Sent, pairs: list[tuple[str, str]]) -> str:
    """RFC 6749 section 4.1.2 and 4.1.2.1, RFC 9207 section 2."""
    found = dict(pairs)
    assert len(found) == len(pairs), "a parameter stands twice in an answer"
    assert found.pop("iss") == ISSUER
    _judge_state(sent, found.pop("state", None))
    if "code" in found:
        assert set(found) == {"code"}
        assert re.fullmatch(r"[\x20-\x7e]{22,}", found["code"])
        return "code"
    assert set(found) <= {"error", "error_description", "error_uri"}
    assert found["error"] in AUTHORIZATION_ERRORS - {"server_error", "temporarily_unavailable"}
    assert _NQSCHAR.fullmatch(found["error_description"])
    return found["error"]


def _judge_state(sent: Sent, state: str | None) -> None:
    values = sent.all("state")
    if len(values) == 1 and "\0" not in values[0]:
        assert state == (values[0] or None)
    else:  # Repeated, it is nobody's; a client must be able to rely on it.
        assert state is None or state in values


def judge_logout(sent: Sent, answer: Response) -> str:
    """An answer of the end session endpoint: a page, or a way back that the client registered for just that."""
    assert answer.status_code in (200, 303, 400, 413, 415)
    if answer.status_code == 303:
        registered = tuple(uri for known in KNOWN.values() for uri in known.after_logout)
        _, pairs = split_answer(answer.headers["location"], registered)
        assert [name for name, _ in pairs] in ([], ["state"])
        _judge_state(sent, dict(pairs).get("state"))
        return "back"
    page = read_page(answer)
    assert all(form["action"] == "/logout/confirm" for form in page.all("form"))
    return "asked" if page.all("form") else "page"


def judge_program(request: FormRequest, answer: Response, log: str, statuses: tuple[int, ...]) -> dict[str, Any]:
    """Fails unless this is JSON by RFC 6749 sections 5.1 and 5.2 that nobody stores, and says nothing secret again (A64)."""
    assert answer.status_code in statuses, (answer.status_code, answer.text)
    assert answer.headers["cache-control"] == "no-store"
    assert "location" not in answer.headers
    for secret in request.confidential:
        assert secret not in answer.text, "a secret is in an answer"
        assert secret not in str(answer.headers), "a secret is in a header"
        assert secret not in log, "a secret is in the log"
    if answer.status_code == 200 and not answer.content:
        return {}
    assert answer.headers["content-type"] == "application/json"
    body: dict[str, Any] = json.loads(answer.content)
    if answer.status_code >= 400:
        _judge_error(answer, body)
    return body


def _judge_error(answer: Response, body: dict[str, Any]) -> None:
    assert set(body) <= {"error", "error_description", "error_uri"}
    assert _NQSCHAR.fullmatch(body["error"])
    assert _NQSCHAR.fullmatch(body["error_description"])
    assert CANARY not in answer.text
    if answer.status_code == 401:
        assert answer.headers["www-authenticate"].split()[0] in ("Basic", "Bearer", "DPoP")
    if answer.status_code == 405:
        assert "POST" in answer.headers["allow"]
