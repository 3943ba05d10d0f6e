"""Whatever programs send to the endpoints that are theirs, the answer is one of those the specifications have."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from background_issuer import BackgroundIssuer
from httpx2 import Response
from hypothesis import given
from lengths import Length, both_lengths
from request_grammar import CHALLENGE, FormRequest, Programs, Right, Sent, basic, form_requests
from rfc_oracle import TOKEN_ERRORS, judge_program
from signing_in import log_in

PATHS = ("/token", "/par", "/revoke", "/introspect", "/userinfo")
SERVICE = ("demo-service", "secret-of-the-demo-service")
ORDERS = ("orders", "secret-of-the-orders-resource")

STATUSES = (200, 400, 401, 405, 413, 415)
AUTHORIZATION_ONLY = {
    "unsupported_response_type",
    "access_denied",
    "login_required",
    "consent_required",
    "request_not_supported",
    "request_uri_not_supported",
    "invalid_request_object",
    "unmet_authentication_requirements",
}
ERRORS = {
    "/token": TOKEN_ERRORS,
    "/par": TOKEN_ERRORS | AUTHORIZATION_ONLY,
    "/revoke": TOKEN_ERRORS | {"unsupported_token_type"},
    "/introspect": TOKEN_ERRORS,
    "/userinfo": {"invalid_request", "invalid_token", "insufficient_scope", "invalid_dpop_proof", "use_dpop_nonce"},
}


def rights_of(server: BackgroundIssuer) -> tuple[Programs, dict[str, list[Right]]]:
    """Real secrets and tokens, and requests that would do, by endpoint."""
    keeper, browser = ("keeper", server.secrets["keeper"]), server.browser()
    person, signed_in = server.wait_for(server.issuer.login()).json(), log_in(browser)
    browser.close()
    access, refresh, opened = person["access_token"], person["refresh_token"], signed_in["access_token"]
    programs = Programs(dict([keeper, SERVICE, ORDERS]), (access, refresh, opened, signed_in["refresh_token"]))
    password = (("grant_type", "password"), ("username", "alice"), ("password", "wonderland"), ("client_id", "demo"))
    asked = (("response_type", "code"), ("redirect_uri", "https://keeper.example/a"), ("scope", "openid"))
    code = (("grant_type", "authorization_code"), ("code", "zq9-code-of-nobody"), ("code_verifier", "v" * 43))
    return programs, {
        "/token": [
            Right((("grant_type", "client_credentials"), ("scope", "orders:read")), SERVICE),
            Right((("grant_type", "refresh_token"), ("refresh_token", refresh), ("client_id", "demo"))),
            Right((*code, ("redirect_uri", "http://127.0.0.1:1/callback"), ("client_id", "demo-web"))),
            Right(password),
        ],
        "/par": [
            Right(asked, keeper),
            Right(
                (*asked, ("client_id", keeper[0]), ("code_challenge", CHALLENGE), ("code_challenge_method", "S256")),
                keeper,
            ),
        ],
        "/revoke": [
            Right((("token", refresh), ("client_id", "demo"))),
            Right((("token", "zq9-token-of-nobody"),), SERVICE),
        ],
        "/introspect": [Right((("token", access),), ORDERS), Right((("token", "zq9-token-of-nobody"),), ORDERS)],
        "/userinfo": [Right((), bearer=opened), Right((("access_token", opened),)), Right((), bearer=access)],
    }


def send(browser: Any, path: str, request: FormRequest) -> Response:
    headers = [(name, value.encode()) for name, value in request.headers]
    answer: Response = browser.send(request.method, path, content=request.body, headers=headers)
    return answer


def judge_success(path: str, answer: Response, body: dict[str, Any]) -> None:
    """What each says if it says yes: RFC 6749 section 5.1, 9126 section 2.2, 7662 section 2.2, OpenID Connect Core 5.3.2."""
    if path == "/token":
        assert {"access_token", "token_type", "expires_in"} <= set(body)
        assert body["token_type"].lower() in ("bearer", "dpop")
        assert answer.headers["pragma"] == "no-cache"
    elif path == "/par":
        assert set(body) == {"request_uri", "expires_in"}
        assert answer.status_code == 201
    elif path == "/introspect":
        assert body["active"] is True or body == {"active": False}
    elif path == "/userinfo":
        assert body["sub"]


@both_lengths
@pytest.mark.parametrize("path", PATHS)
def test_every_answer_to_a_program_is_one_of_the_specification(
    server: BackgroundIssuer, length: Length, path: str
) -> None:
    """A30, A31, A40, A64: no 5xx; JSON that nobody stores, with an error of the list; 401 says how to authenticate; no
    password, secret, code or token that was sent comes back, or is in the log."""
    browser, came = server.browser(), Counter[str]()
    programs, rights = rights_of(server)
    statuses = (*STATUSES, *((201,) if path == "/par" else (403,) if path == "/userinfo" else ()))

    @length(150)
    @given(request=form_requests(programs, rights[path]))
    def examine(request: FormRequest) -> None:
        server.log.empty()
        answer = send(browser, path, request)
        body = judge_program(request, answer, server.log.text, statuses)
        if answer.status_code < 400:
            came["yes"] += 1
            judge_success(path, answer, body)
        else:
            came[body["error"]] += 1
            assert body["error"] in ERRORS[path]

    examine()
    browser.close()
    refusal = "invalid_token" if path == "/userinfo" else "invalid_client"
    assert {"invalid_request", refusal} <= set(came), came
    assert came["yes"], came


def test_a64_a_secret_that_comes_back_would_be_noticed(server: BackgroundIssuer) -> None:
    """The judge can say no."""
    pairs = (("grant_type", "client_credentials"), ("code_challenge", CHALLENGE))
    headers = (("Authorization", basic("demo-service", "secret-of-the-demo-service")),)
    request = FormRequest(Sent((*pairs, ("client_secret", 'Bearer","expires'))), headers, b"")
    answer = server.wait_for(server.issuer.service_token())
    with pytest.raises(AssertionError, match="a secret is in an answer"):
        judge_program(request, answer, "", (200,))
    with pytest.raises(AssertionError, match="a secret is in the log"):
        judge_program(FormRequest(Sent((("password", "zq9-secret"),)), (), b""), answer, "said zq9-secret", (200,))
