"""What the OpenAPI document says of answers is true: Schemathesis makes requests of it, right ones and wrong ones."""

from __future__ import annotations

from typing import Any

import pytest
import requests
import schemathesis
from background_issuer import BackgroundIssuer
from hypothesis import given
from hypothesis import strategies as st
from issuer_in_process import ISSUER
from lengths import Length, both_lengths
from request_grammar import basic
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
WHO = {
    "/token": basic("demo-service", "secret-of-the-demo-service"),
    "/par": basic("demo-service", "secret-of-the-demo-service"),
    "/revoke": basic("demo-service", "secret-of-the-demo-service"),
    "/introspect": basic("orders", "secret-of-the-orders-resource"),
    "/revocations": basic("orders", "secret-of-the-orders-resource"),
}
OPERATIONS = [
    ("/token", "POST"),
    ("/par", "POST"),
    ("/revoke", "POST"),
    ("/introspect", "POST"),
    ("/userinfo", "GET"),
    ("/userinfo", "POST"),
    ("/logout/everywhere", "POST"),
    ("/.well-known/jwks.json", "GET"),
    ("/.well-known/oauth-authorization-server", "GET"),
    ("/.well-known/openid-configuration", "GET"),
    ("/revocations", "GET"),
]


def described(server: BackgroundIssuer) -> Any:
    return schemathesis.openapi.from_dict(server.issuer.app.openapi())


# Schemathesis draws from `random` now and then, which Hypothesis asks libraries not to do.
@pytest.mark.filterwarnings("ignore::hypothesis.errors.HypothesisDeprecationWarning")
@both_lengths
@pytest.mark.parametrize(("path", "method"), OPERATIONS)
def test_every_answer_is_as_the_openapi_document_describes_it(
    server: BackgroundIssuer, length: Length, path: str, method: str
) -> None:
    """A40, DESIGN 11: no 5xx; status, media type, headers and body are those that are described for this endpoint, whether
    the request is as described or not, and whoever asks."""
    operation, browser, statuses = described(server)[path][method], server.browser(), set[int]()
    cases = st.sampled_from(list(schemathesis.GenerationMode)).flatmap(operation.as_strategy)

    @length(30)
    @given(case=cases, is_known=st.booleans())
    def examine(case: Any, is_known: bool) -> None:
        prepared = requests.Request(**sendable(case)).prepare()
        headers = dict(prepared.headers)
        if is_known and path in WHO:
            headers["Authorization"] = WHO[path]
        answer = browser.send(method, str(prepared.url), content=prepared.body or b"", headers=headers)
        statuses.add(answer.status_code)
        case.validate_response(answer, checks=[*CHECKS, *([negative_data_rejection] if method == "POST" else [])])

    examine()
    browser.close()
    assert statuses, "nothing was sent"


def sendable(case: Any) -> dict[str, Any]:
    names = ("method", "url", "headers", "params", "data", "json", "cookies")
    return {name: value for name, value in case.as_transport_kwargs(base_url=ISSUER).items() if name in names}


def test_every_operation_of_the_document_is_examined(server: BackgroundIssuer) -> None:
    """DESIGN 11."""
    document = server.issuer.app.openapi()["paths"]
    assert sorted(OPERATIONS) == sorted((path, method.upper()) for path, item in document.items() for method in item)
