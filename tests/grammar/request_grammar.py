"""What may be sent, and what nobody should: requests made of the parameters of OAuth and OpenID Connect, each absent, empty,
repeated, right, nearly right or absurd."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlencode

from hypothesis import strategies as st
from registered import KNOWN

CANARY = "zq9"
"""Is in whatever is absurd: seen in an answer where it should not be, it came from the request."""

CHALLENGE = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
Pairs = list[tuple[str, str]]

_NASTY = (
    "\0",
    "\r\nSet-Cookie: zq9=1",
    "\t",
    "\u202e",
    "\ud7ff\U0010ffff",
    "<script>zq9()</script>",
    "\"><img src=x onerror='zq9'>",
    "' autofocus onfocus=zq9 '",
    "{{7*7}}zq9",
    "${zq9}%0d%0a",
    "\\",
    "zq9" * 400,
    "zq9" * 3000,
)
nasty = st.one_of(
    st.sampled_from(_NASTY),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=12).map(lambda text: CANARY + text),
)
"""Text that no parameter should be."""


@dataclass(frozen=True)
class Sent:
    """The parameters of a request, in their order."""

    pairs: tuple[tuple[str, str], ...]

    @property
    def encoded(self) -> str:
        return urlencode(self.pairs)

    def all(self, name: str) -> list[str]:
        """Every value that was sent under a name, empty ones too."""
        return [value for each, value in self.pairs if each == name]

    def once(self, name: str) -> str | None:
        """The value, if there is one, and it was said once, and it is one that can be repeated to somebody."""
        values = self.all(name)
        return values[0] if len(values) == 1 and values[0] and "\0" not in values[0] else None


# --- Redirect URIs ---------------------------------------------------------------------------------------------------

_MUTATIONS = (
    lambda uri: uri + "/",
    lambda uri: uri + "/..",
    lambda uri: uri + "/../zq9",
    lambda uri: uri + "/..;/zq9",
    lambda uri: uri + "/%2e%2e/zq9",
    lambda uri: uri + "%2fzq9",
    lambda uri: uri + "zq9",
    lambda uri: uri + "?zq9=1",
    lambda uri: uri + "&zq9=1",
    lambda uri: uri + "&code=zq9&state=zq9",
    lambda uri: uri + "#zq9",
    lambda uri: uri + "#",
    lambda uri: uri + "\r\nLocation: https://zq9.example/",
    lambda uri: uri + "\n",
    lambda uri: uri + "\0",
    lambda uri: uri + " ",
    lambda uri: " " + uri,
    lambda uri: "\t" + uri,
    lambda uri: uri + "\u00e9",
    lambda uri: uri.upper(),
    lambda uri: uri.replace("://", "://zq9@", 1),
    lambda uri: uri.replace("://", "://a@b@zq9:1@", 1),
    lambda uri: uri.replace("://", "://zq9.example\\@", 1),
    lambda uri: uri.replace("://", "://zq9.example/", 1),
    lambda uri: uri.replace("://", ":/", 1),
    lambda uri: uri.replace("://", ":///", 1),
    lambda uri: uri.replace("https://", "//", 1),
    lambda uri: uri.replace("https://", "http://", 1),
    lambda uri: uri.replace("http://", "https://", 1),
    lambda uri: uri.replace("/", "\\"),
    lambda uri: uri.replace(".example", ".example.", 1),
    lambda uri: uri.replace(".example", ".example.zq9.example", 1),
    lambda uri: uri.replace(".example", ".example:443", 1),
    lambda uri: uri.replace(".example", ".example:0443", 1),
    lambda uri: uri.replace(".example", ".example:", 1),
    lambda uri: uri.replace("a", "\u0430", 1),
    lambda uri: uri.replace("o", "\uff4f", 1),
    lambda uri: uri.replace(".", "\u3002", 1),
    lambda uri: uri.replace("p", "%70", 1),
    lambda uri: uri.replace("127.0.0.1", "localhost", 1),
    lambda uri: uri.replace("127.0.0.1", "127.1", 1),
    lambda uri: uri.replace("127.0.0.1", "[::1]", 1),
    lambda uri: uri.replace("127.0.0.1", "0x7f000001", 1),
    lambda uri: uri.replace("127.0.0.1", "127.0.0.1.zq9.example", 1),
    lambda uri: uri.replace("127.0.0.1", "127.0.0.1:1@zq9.example", 1),
    lambda uri: uri.replace("127.0.0.1", "127.0.0.1:80:80", 1),
    lambda uri: uri.replace("127.0.0.1", "127.0.0.1:99999", 1),
    lambda uri: uri.replace("127.0.0.1", "127.0.0.1:0", 1),
    lambda uri: uri.replace("127.0.0.1", "127.0.0.1:\u0661", 1),
    lambda uri: uri.replace("127.0.0.1", "127.0.0.1:-1", 1),
    lambda uri: "javascript:zq9()//" + uri,
    lambda uri: "data:text/html,zq9",
    lambda uri: "https://zq9.example/?" + uri,
    lambda uri: "https://zq9.example/#" + uri,
)
_REGISTERED = tuple(uri for known in KNOWN.values() for uri in known.redirect_uris)


@st.composite
def redirect_uris(draw: st.DrawFn, registered: Sequence[str]) -> str:
    """One that is registered, perhaps with another port; or that became something else in one to three steps."""
    uri = draw(st.sampled_from([*registered, *registered, *_REGISTERED]))
    if draw(st.booleans()):
        uri = uri.replace("127.0.0.1", f"127.0.0.1:{draw(st.integers(1, 65535))}", 1)
    for mutate in draw(
        st.lists(st.sampled_from(_MUTATIONS), max_size=3) if draw(st.integers(0, 2)) == 0 else st.just([])
    ):
        uri = mutate(uri)
    return uri


# --- Parameters ------------------------------------------------------------------------------------------------------

_SCOPES = ("openid", "profile", "email", "orders:read", "orders:write", "offline_access", "openid", "unknown", '"', "é")
_RESOURCES = ("http://127.0.0.1:8001", "https://unknown.example", "orders", "http://127.0.0.1:8001#zq9", "//")
_scopes = st.lists(st.sampled_from(_SCOPES[:6]), max_size=4) | st.lists(st.sampled_from(_SCOPES), max_size=4)
_prompts = st.lists(st.sampled_from(["none", "login", "consent", "select_account", "create", "NONE", ""]), max_size=2)

_AUTHORIZATION: dict[str, st.SearchStrategy[str]] = {
    "response_type": st.sampled_from(["token", "id_token", "code token", "none", "Code", " code"]),
    "response_mode": st.sampled_from(["query", "form_post", "fragment", "query.jwt", "web_message", "FORM_POST"]),
    "scope": _scopes.map(" ".join),
    "state": st.sampled_from(["s", "a b&c=d%", "é", "<zq9>", "0", "x" * 500, "\u202e", "a+b", "\r\n"]) | nasty,
    "nonce": st.sampled_from(["n", "é", "x" * 300]) | nasty,
    "prompt": _prompts.map(" ".join),
    "max_age": st.sampled_from(["0", "1", "86400", "-1", "1e3", "0.5", "\u0661", "9" * 10, "9" * 40, " 1", "+1"]),
    "login_hint": st.sampled_from(["alice", "nobody"]) | nasty,
    "id_token_hint": st.sampled_from(["a.b.c", "e30.e30.", "zq9"]) | nasty,
    "acr_values": st.sampled_from(["urn:identity:acr:1fa", "phr", "0 1"]) | nasty,
    "claims": st.sampled_from(
        [
            "{}",
            "[]",
            "null",
            '{"userinfo":{"email":null}}',
            '{"id_token":{"sub":{"value":"zq9"}}}',
            '{"id_token":{"acr":{"essential":true,"values":["phr"]}}}',
            '{"id_token":{"acr":{"essential":1,"values":5}}}',
            '{"id_token":[1],"userinfo":"x"}',
            '{"a":1,"a":2}',
            "[" * 2000,
            '{"id_token":{"\\ud800":null}}',
            '{"id_token":{"auth_time":{"essential":true}},"userinfo":NaN}',
        ]
    )
    | nasty,
    "code_challenge": st.sampled_from(["short", CHALLENGE + "=", CHALLENGE[:-1], "x" * 128, "é" * 43]),
    "code_challenge_method": st.sampled_from(["plain", "s256", "S512"]),
    "resource": st.sampled_from(_RESOURCES),
    "request": st.sampled_from(["e30.e30.", "e30.e30.AA", "..", "a.b.c.d.e"]) | nasty,
    "request_uri": st.sampled_from(["urn:ietf:params:oauth:request_uri:zq9", "https://zq9.example/r", "file:///zq9"])
    | nasty,
    "registration": st.just("{}"),
    "ui_locales": st.sampled_from(["de", "é"]) | nasty,
    "claims_locales": st.sampled_from(["de"]) | nasty,
    "display": st.sampled_from(["page", "popup", "zq9"]),
    "dpop_jkt": st.sampled_from(["zq9", CHALLENGE]),
    "authorization_details": st.sampled_from(['[{"type":"zq9"}]', "["]),
    "client_secret": st.just("zq9-secret-in-the-wrong-place"),
    "code": st.just("zq9-code"),
    "error": st.just("zq9"),
    "iss": st.just("https://zq9.example"),
}


@st.composite
def authorization_requests(draw: st.DrawFn) -> Sent:
    """A request that is right, of one of our clients, but for up to four parameters; in any order."""
    client_id = draw(
        st.sampled_from(["demo-web", "shop", "posted", "phone", "keeper", "keeper", "demo", "demo-service"])
    )
    pairs: Pairs = [
        ("client_id", client_id),
        ("redirect_uri", draw(redirect_uris(KNOWN[client_id].redirect_uris))),
        ("response_type", "code"),
        ("scope", "openid orders:read"),
        ("state", draw(st.sampled_from(["s", "a b&c=d%", "é<", " s\t"]))),
        ("code_challenge", CHALLENGE),
        ("code_challenge_method", "S256"),
    ]
    for _ in range(draw(st.integers(0, 4))):
        pairs = draw(_changed(pairs))
    return Sent(tuple(draw(st.permutations(pairs)) if draw(st.integers(0, 4)) == 0 else pairs))


@st.composite
def _changed(draw: st.DrawFn, pairs: Pairs) -> Pairs:
    kind = draw(
        st.sampled_from(["set", "set", "set", "drop", "empty", "repeat", "again", "nasty", "unknown", "client"])
    )
    known = draw(st.sampled_from(sorted(_AUTHORIZATION)))
    present = draw(st.sampled_from([name for name, _ in pairs])) if pairs else known
    if kind == "set":
        return [*(each for each in pairs if each[0] != known), (known, draw(_AUTHORIZATION[known]))]
    if kind == "drop":
        return [each for each in pairs if each[0] != present]
    if kind == "empty":
        return [(name, "" if name == present else value) for name, value in pairs]
    if kind == "nasty":
        return [(name, draw(nasty) if name == present else value) for name, value in pairs]
    if kind == "client":
        other = draw(st.sampled_from([*KNOWN, "nobody", "DEMO-WEB", "demo-web\0", "demo-web "]) | nasty)
        return [(name, other if name == "client_id" else value) for name, value in pairs]
    if kind == "unknown":
        return [*pairs, (draw(st.sampled_from(["", "x", "é", "state[]", "redirect_uri\0"])), CANARY)]
    again = [value for name, value in pairs if name == present][:1] or [""]
    if kind == "again":  # A second time, something else.
        again = [draw(_AUTHORIZATION.get(present, redirect_uris(())))]
    return [*pairs, (present, again[0])]


@st.composite
def logout_requests(draw: st.DrawFn, hint: str) -> Sent:
    """A request to sign out, with an ID token of the client `shop`: right but for up to three parameters."""
    values = {
        "id_token_hint": st.sampled_from([hint, hint[:-8], hint + "A", hint.upper(), "zq9", "a.b.c"]) | nasty,
        "post_logout_redirect_uri": redirect_uris(KNOWN["shop"].after_logout + KNOWN["demo-web"].after_logout),
        "client_id": st.sampled_from([*KNOWN, "nobody"]) | nasty,
        "state": _AUTHORIZATION["state"],
        "logout_hint": nasty,
        "ui_locales": nasty,
    }
    pairs: Pairs = [
        ("id_token_hint", hint),
        ("post_logout_redirect_uri", draw(redirect_uris(KNOWN["shop"].after_logout))),
        ("state", draw(_AUTHORIZATION["state"])),
    ]
    for name in draw(st.lists(st.sampled_from(sorted(values)), max_size=3)):
        if draw(st.integers(0, 3)):  # Otherwise it is sent twice.
            pairs = [each for each in pairs if each[0] != name]
        if draw(st.integers(0, 3)):  # Otherwise it is not sent.
            pairs.append((name, draw(st.just("") | values[name] | values[name])))
    return Sent(tuple(pairs))


# --- What programs send ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Programs:
    """What programs may know: real secrets and tokens, by which some of the requests go far."""

    secrets: dict[str, str]
    tokens: tuple[str, ...] = ()

    @property
    def clients(self) -> list[tuple[str, str]]:
        return [
            *self.secrets.items(),
            ("demo", ""),
            ("demo-web", ""),
            ("nobody", "zq9-secret"),
            ("keeper", "zq9-wrong"),
        ]


@dataclass(frozen=True)
class FormRequest:
    """A request of a program: a form, most of the time."""

    sent: Sent
    headers: tuple[tuple[str, str], ...]
    body: bytes
    method: str = "POST"

    @property
    def confidential(self) -> list[str]:
        """What was sent and must be seen nowhere (A64)."""
        found = [value for name, value in self.sent.pairs if name in CONFIDENTIAL]
        found += [value.rpartition(" ")[2] for name, value in self.headers if name == "Authorization"]
        return [value for value in found if len(value) >= 8]


CONFIDENTIAL = frozenset(
    {
        "password",
        "client_secret",
        "client_assertion",
        "code",
        "code_verifier",
        "refresh_token",
        "token",
        "access_token",
        "api_key",
        "subject_token",
        "request",
    }
)
_GRANTS = (
    "authorization_code",
    "refresh_token",
    "client_credentials",
    "password",
    "urn:identity:grant-type:api-key",
    "urn:ietf:params:oauth:grant-type:token-exchange",
    "urn:ietf:params:oauth:grant-type:device_code",
    "implicit",
)
_ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_FORM = "application/x-www-form-urlencoded"
_TYPES = (
    _FORM,
    _FORM,
    _FORM + "; charset=utf-8",
    _FORM.upper(),
    "application/json",
    "multipart/form-data",
    "text/plain",
    "",
)
secret_like = (
    st.sampled_from(["zq9-secret-0123456789", "zq9." + "a" * 40, "zq9-" + "é" * 8, "a.zq9.b-long-enough"]) | nasty
)


def _parameters(programs: Programs) -> dict[str, st.SearchStrategy[str]]:
    token = st.sampled_from([*programs.tokens, "zq9-token-of-nobody"]) | secret_like
    return {
        "grant_type": st.sampled_from(_GRANTS) | nasty,
        "code": token,
        "code_verifier": st.sampled_from(["zq9" * 15, "short"]) | nasty,
        "redirect_uri": redirect_uris(KNOWN["demo-web"].redirect_uris),
        "username": st.sampled_from(["alice", "nobody"]) | nasty,
        "password": secret_like,
        "refresh_token": token,
        "scope": _scopes.map(" ".join),
        "resource": st.sampled_from(_RESOURCES),
        "api_key": secret_like,
        "token": token,
        "token_type_hint": st.sampled_from(["access_token", "refresh_token", "zq9"]),
        "access_token": token,
        "client_id": st.sampled_from([name for name, _ in programs.clients]) | nasty,
        "client_secret": st.sampled_from([each for _, each in programs.clients if each]) | secret_like,
        "client_assertion": secret_like,
        "client_assertion_type": st.sampled_from([_ASSERTION, "zq9"]),
        "subject_token": secret_like,
        "request": secret_like,
        "": nasty,
    }


@dataclass(frozen=True)
class Right:
    """A request that an endpoint would say yes to. `client`: by HTTP Basic; `bearer`: in the header."""

    pairs: tuple[tuple[str, str], ...]
    client: tuple[str, str] | None = None
    bearer: str = ""

    @property
    def headers(self) -> Pairs:
        sent = [basic(*self.client)] if self.client else [f"Bearer {self.bearer}"] if self.bearer else []
        return [("Authorization", each) for each in sent]


@st.composite
def form_requests(draw: st.DrawFn, programs: Programs, rights: Sequence[Right]) -> FormRequest:
    """A right request but for up to three parameters, the client, and now and then that it is a form at all."""
    right = draw(st.sampled_from(rights))
    values = _parameters(programs)
    pairs, headers = list(right.pairs), right.headers
    for _ in range(draw(st.integers(0, 3))):
        pairs = draw(_changed_form(values, pairs))
    if draw(st.integers(0, 2)) == 0:
        pairs, headers = draw(_other_client(programs, pairs, headers))
    sent = Sent(tuple(pairs))
    body, content_type = sent.encoded.encode(), _FORM
    if draw(st.integers(0, 15)) == 0:
        content_type = draw(st.sampled_from(_TYPES))
    if draw(st.integers(0, 15)) == 0:
        body, sent = draw(st.binary(max_size=40) | st.sampled_from(_ABSURD_BODIES)), Sent(())
    if draw(st.integers(0, 15)) == 0:
        headers = [*headers, ("DPoP", draw(st.sampled_from(_ABSURD_PROOFS)))]
    method = draw(st.sampled_from(["GET", "PUT", "DELETE"])) if draw(st.integers(0, 31)) == 0 else "POST"
    return FormRequest(sent, (*headers, ("Content-Type", content_type)), body, method)


_ABSURD_PROOFS = ("", "zq9.zq9.zq9", "e30.e30.AA", "e30.e30.AA, e30.e30.AA", "A" * 9000)
_ABSURD_BODIES = (b"&&==&", b"a=%ff", b"%=%", b"a=" + b"b" * 70_000, b"a&" * 60, b"\xff\xfe", b"{}")


@st.composite
def _changed_form(draw: st.DrawFn, values: dict[str, st.SearchStrategy[str]], pairs: Pairs) -> Pairs:
    known = draw(st.sampled_from(sorted(values)))
    present = draw(st.sampled_from([name for name, _ in pairs])) if pairs else known
    kind = draw(st.sampled_from(["set", "other", "other", "drop", "empty", "repeat"]))
    if kind == "set":
        return [*(each for each in pairs if each[0] != known), (known, draw(values[known]))]
    if kind == "drop":
        return [each for each in pairs if each[0] != present]
    if kind == "repeat":
        return [*pairs, (present, draw(values.get(present, nasty)))]
    other = "" if kind == "empty" else draw(values.get(present, nasty))
    return [(name, other if name == present else value) for name, value in pairs]


_ABSURD_HEADERS = (
    "Basic",
    "Basic !",
    "Basic zq9zq9zq9",
    "Basic /////////w==",
    "DPoP zq9-token-0",
    "",
    "Basic " + "A" * 9000,
)


@st.composite
def _other_client(draw: st.DrawFn, programs: Programs, pairs: Pairs, headers: Pairs) -> tuple[Pairs, Pairs]:
    client_id, secret = draw(st.sampled_from(programs.clients))
    how = draw(st.sampled_from(["basic", "form", "both", "twice", "nobody", "absurd", "bearer"]))
    by_basic = [("Authorization", basic(client_id, secret))]
    in_form = [*pairs, ("client_id", client_id), *([("client_secret", secret)] if secret else [])]
    if how == "absurd":
        return pairs, [("Authorization", draw(st.sampled_from(_ABSURD_HEADERS)))]
    if how == "bearer":
        return pairs, [("Authorization", "Bearer " + draw(st.sampled_from([*programs.tokens, "zq9-token-of-nobody"])))]
    return {
        "basic": (pairs, by_basic),
        "form": (in_form, []),
        "both": (in_form, by_basic),
        "twice": (pairs, headers + by_basic),
        "nobody": (pairs, []),
    }[how]


def basic(client_id: str, secret: str) -> str:
    """HTTP Basic as RFC 6749 section 2.3.1 has it; names and secrets here have no character that has to be encoded."""
    return "Basic " + b64encode(f"{client_id}:{secret}".encode()).decode()
