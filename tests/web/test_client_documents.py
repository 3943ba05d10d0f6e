"""Whatever a client says of itself: it is registered as it says, or refused in the words of RFC 7591 section 3.2.2."""

from __future__ import annotations

import json
import re
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from hypothesis import Phase, event, given, settings
from hypothesis import strategies as some
from issuer_in_process import refusal

from identity.oauth.errors import InvalidClientMetadata, OAuthError
from identity.oauth.registration.client_metadata import read_client_file, read_client_metadata, write_client_metadata
from identity.oauth.registration.policy import RegistrationPolicy
from identity.verifier.compact import strict_json_object

EVERYTHING = RegistrationPolicy(
    scopes=frozenset({"openid", "orders:read"}),
    grant_types=frozenset({"authorization_code", "refresh_token", "client_credentials"}),
    authentication_methods=frozenset(
        {"none", "client_secret_basic", "client_secret_post", "private_key_jwt", "tls_client_auth"}
    ),
)
CODES = {"invalid_client_metadata", "invalid_redirect_uri"}
NAMES = [
    "client_name",
    "grant_types",
    "response_types",
    "scope",
    "redirect_uris",
    "post_logout_redirect_uris",
    "response_modes",
    "jwks",
    "jwks_uri",
    "token_endpoint_auth_method",
    "tls_client_auth_subject_dn",
    "require_pushed_authorization_requests",
    "subject_type",
    "require_signed_request_object",
    "dpop_bound_access_tokens",
    "tls_client_certificate_bound_access_tokens",
    "sector",
    "origins",
    "id_token_signed_response_alg",
    "userinfo_signed_response_alg",
    "backchannel_logout_uri",
    "contacts",
    "software_id",
    "profile",
]

texts = some.sampled_from(
    [
        "https://a.example/cb",
        "https://a.example:99999/",
        "https://[",
        "https://a b/",
        "http://127.0.0.1/cb",
        "com.example.app:/cb",
        "//evil",
        "authorization_code",
        "refresh_token",
        "client_credentials",
        "password",
        "code",
        "none",
        "private_key_jwt",
        "openid orders:read",
        "pairwise",
        "RS256",
        "CN=x\\,y",
        "\u202e",
        "",
    ]
) | some.text(max_size=20)
keys = some.fixed_dictionaries(
    {},
    optional={
        "kty": some.sampled_from(["RSA", "EC", "OKP", "oct"]),
        "n": texts | some.integers(),
        "e": some.sampled_from(["AQAB", "", "AA"]),
        "crv": some.sampled_from(["P-256", "Ed25519", "P-521"]),
        "x": texts,
        "y": texts,
        "kid": texts | some.none(),
        "alg": texts | some.lists(texts),
        "use": texts,
        "exp": some.floats(allow_nan=False) | texts,
    },
)
values = some.recursive(
    some.none() | some.booleans() | some.integers() | texts,
    lambda inner: some.lists(inner, max_size=3) | some.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)
key_sets = some.fixed_dictionaries({"keys": some.lists(keys, max_size=2)})
good = some.fixed_dictionaries(
    {"redirect_uris": some.lists(some.sampled_from(["https://a.example/cb", "com.example.app:/cb"]), min_size=1)},
    optional={
        "client_name": some.text("abc \u00e4", max_size=9),
        "grant_types": some.sampled_from([["authorization_code"], ["authorization_code", "refresh_token"]]),
        "response_types": some.just(["code"]),
        "scope": some.sampled_from(["openid", "orders:read openid", "openid nonsense"]),
        "response_modes": some.just(["form_post"]),
        "token_endpoint_auth_method": some.sampled_from(["none", "client_secret_post"]),
        "dpop_bound_access_tokens": some.booleans(),
        "jwks_uri": some.just("https://a.example/keys?x=%2F"),
        "userinfo_signed_response_alg": some.just("RS256"),
        "contacts": values,
    },
)
wrong = some.dictionaries(some.sampled_from(NAMES), values, max_size=2) | some.fixed_dictionaries({"jwks": key_sets})
documents = some.builds(lambda one, other: {**one, **other}, good, wrong)


@dataclass
class Answer:
    document: dict[str, Any] = field(default_factory=dict)
    code: str = ""
    status: int = 400
    description: str = "-"


def answer_to(document: dict[str, Any]) -> Answer:
    """What the endpoint makes of a document, without the stores around it."""
    try:
        said = strict_json_object(json.dumps(document).encode())
    except ValueError:
        return Answer(code="invalid_client_metadata")
    try:
        new = read_client_metadata(said).client("some-client", is_dynamic=True)
        checked = EVERYTHING.within(new.completed(), {"openid", "orders:read"})
        checked.row(checked.scopes, None)
        return Answer(write_client_metadata(checked))
    except OAuthError as error:
        return Answer(code=error.code, status=error.status, description=error.description)


@settings(max_examples=400, deadline=None)
@given(documents)
def test_a36_every_document_is_answered_in_the_words_of_the_specification(document: dict[str, Any]) -> None:
    """A03: and nothing that is registered goes to an address that codes must not go to."""
    answer = answer_to(document)
    if answer.code:
        assert answer.code in CODES
        assert answer.status == 400
        assert re.fullmatch(r"[ !#-\[\]-~]{1,300}", answer.description)
        return
    registered = answer.document
    assert set(registered["grant_types"]) <= EVERYTHING.grant_types
    assert set(registered["scope"].split()) <= EVERYTHING.scopes
    assert registered.get("response_types", []) == (["code"] if registered.get("redirect_uris") else [])
    for uri in registered.get("redirect_uris", []):
        assert uri.startswith(("https://", "http://127.0.0.1", "http://[::1]", "http://localhost")) or ":/" in uri
    assert json.loads(json.dumps(registered)) == registered


@settings(max_examples=200, deadline=None)
@given(documents)
def test_what_was_registered_says_the_same_when_it_is_registered_again(document: dict[str, Any]) -> None:
    """RFC 7591 section 3.2.1: the answer is client metadata."""
    first = answer_to(document)
    event("refused" if first.code else "registered")
    if not first.code:
        assert answer_to(first.document) == first


@settings(max_examples=200, deadline=None)
@given(documents)
def test_an_operators_file_is_read_or_refused_in_one_sentence(document: dict[str, Any]) -> None:
    """The same language, and the same words."""
    with suppress(InvalidClientMetadata):
        assert read_client_file(document).client("some-client").completed().client_id == "some-client"


async def test_a36_no_document_breaks_the_endpoint(start_issuer: Any) -> None:
    """Over HTTP and down to the database: registered, or refused, and never a 5xx; and everybody finds what was registered."""
    found: list[dict[str, Any]] = []

    @settings(max_examples=80, deadline=None, phases=[Phase.generate])
    @given(documents)
    def find(document: dict[str, Any]) -> None:
        found.append(document)

    find()
    async with start_issuer(registration="token") as issuer:
        token = await issuer.invitations.invite("many", 1000, timedelta(days=1), EVERYTHING)
        headers = {"Authorization": f"Bearer {token}"}
        statuses = set()
        for document in found:
            answer = await issuer.http.post("/register", json=document, headers=headers)
            statuses.add(answer.status_code)
            if answer.status_code == 201:
                query = {"client_id": answer.json()["client_id"], "redirect_uri": "https://a.example/cb"}
                assert (await issuer.http.get("/authorize", params=query)).status_code == 400
            else:
                status, code = refusal(answer)
                assert status == 400
                assert code in CODES
    assert statuses == {201, 400}
