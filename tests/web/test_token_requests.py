"""How the token endpoint reads requests: strictly, cheaply, and without ever answering 500."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from issuer_in_process import SERVICE, Issuer, granted, refusal

pytestmark = pytest.mark.asyncio(loop_scope="module")

FORM = "application/x-www-form-urlencoded"
LOGIN = "grant_type=password&username=alice&password=wonderland"


async def post(issuer: Issuer, body: bytes | str | AsyncIterator[bytes], **headers: str) -> Any:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return await issuer.http.post("/token", content=body, headers={"content-type": FORM, **named})


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH"])
@pytest.mark.parametrize("path", ["/token", "/revoke"])
async def test_only_post_is_answered(lasting_issuer: Issuer, path: str, method: str) -> None:
    """A40."""
    response = await lasting_issuer.http.request(method, path, params={"grant_type": "password"})
    assert refusal(response) == (405, "invalid_request")
    assert response.headers["allow"] == "POST"


async def test_parameters_in_the_address_count_for_nothing(lasting_issuer: Issuer) -> None:
    """A31, RFC 6749 section 3.2: secrets never stand in a URI."""
    response = await lasting_issuer.http.post(f"/token?{LOGIN}", content=b"", headers={"content-type": FORM})
    assert refusal(response) == (400, "invalid_request")


@pytest.mark.parametrize(
    "content_type",
    ["application/json", "multipart/form-data; boundary=x", "text/plain", "", "application/x-www-form-urlencoded-not"],
)
@pytest.mark.parametrize("path", ["/token", "/revoke"])
async def test_only_urlencoded_forms_are_read(lasting_issuer: Issuer, path: str, content_type: str) -> None:
    """A40, CVE-2021-32677, and python-multipart's advisories: multipart is refused altogether."""
    response = await lasting_issuer.http.post(path, content=LOGIN, headers={"content-type": content_type})
    assert refusal(response) == (415, "invalid_request")


async def test_the_form_may_name_its_character_set(lasting_issuer: Issuer) -> None:
    """A40."""
    granted(
        await lasting_issuer.http.post(
            "/token", content=LOGIN, headers={"content-type": f"{FORM.upper()}; charset=UTF-8"}
        )
    )


@pytest.mark.parametrize("body", ["", "username=alice&password=wonderland", "grant_type=&username=alice"])
async def test_the_grant_type_is_required(lasting_issuer: Issuer, body: str) -> None:
    """RFC 6749 section 5.2."""
    assert refusal(await post(lasting_issuer, body)) == (400, "invalid_request")


@pytest.mark.parametrize("grant_type", ["implicit", "device_code", "PASSWORD", "password ", "urn:x:y", "__class__"])
async def test_an_unknown_grant_type_is_unsupported(lasting_issuer: Issuer, grant_type: str) -> None:
    """RFC 6749 section 5.2."""
    assert refusal(await lasting_issuer.token(grant_type)) == (400, "unsupported_grant_type")


async def test_a_client_that_is_not_authenticated_learns_nothing_about_the_grant(lasting_issuer: Issuer) -> None:
    """A35: the client comes first."""
    assert refusal(await lasting_issuer.token("nonsense", ("demo-service", "wrong"))) == (401, "invalid_client")


@pytest.mark.parametrize(
    "body",
    [
        LOGIN + "&username=bob",
        LOGIN + "&grant_type=password",
        LOGIN + "&scope=orders%3Aread&scope=orders%3Aread",
        LOGIN + "&unknown=1&unknown=1",
        LOGIN + "&password=",
    ],
)
async def test_a_repeated_parameter_is_refused(lasting_issuer: Issuer, body: str) -> None:
    """A07."""
    assert refusal(await post(lasting_issuer, body)) == (400, "invalid_request")


async def test_only_the_resource_may_be_repeated(lasting_issuer: Issuer) -> None:
    """A07, RFC 8707 section 2: two resources are well formed, and then one too many."""
    body = LOGIN + "&resource=http%3A%2F%2F127.0.0.1%3A8001&resource="
    granted(await post(lasting_issuer, body))
    assert refusal(await post(lasting_issuer, body + "http%3A%2F%2F127.0.0.1%3A8001")) == (400, "invalid_target")


async def test_empty_parameters_are_absent_and_unknown_ones_ignored(lasting_issuer: Issuer) -> None:
    """A07."""
    granted(
        await post(lasting_issuer, LOGIN + "&scope=&resource=&client_id=&client_secret=&refresh_token=&nonsense=1&x")
    )


async def test_a_semicolon_separates_nothing(lasting_issuer: Issuer) -> None:
    """GHSA-5rvq-cxj2-64vf: `a=1;b=2` is one parameter."""
    body = "grant_type=password&username=alice&password=wrong;password=wonderland"
    assert refusal(await post(lasting_issuer, body)) == (400, "invalid_grant")
    assert refusal(await post(lasting_issuer, LOGIN.replace("&", ";"))) == (400, "unsupported_grant_type")


@pytest.mark.parametrize(
    "body",
    [
        LOGIN + "%00",
        LOGIN + "&scope=orders%00",
        "grant_type=password%00",
        LOGIN + "&scope=%ff",
        LOGIN + "&%ff=1",
        LOGIN + "&scope=%ed%a0%80",
        LOGIN + "&scope=%c0%80",
        (LOGIN + "&scope=é").encode(),
        b"\xff\xfe" + LOGIN.encode("utf-16-le"),
    ],
    ids=ascii,
)
async def test_nul_and_invalid_utf_8_are_refused(lasting_issuer: Issuer, body: bytes | str) -> None:
    """A07: what no store and no log could hold is never looked at."""
    assert refusal(await post(lasting_issuer, body)) == (400, "invalid_request")


async def test_fifty_parameters_are_read_and_no_more(lasting_issuer: Issuer) -> None:
    """CVE-2024-24762 and its kin: parsing has a bound."""
    padding = "".join(f"&p{number}=" for number in range(47))
    granted(await post(lasting_issuer, LOGIN + padding))
    assert refusal(await post(lasting_issuer, LOGIN + padding + "&p=")) == (400, "invalid_request")
    assert refusal(await post(lasting_issuer, "&" * 60_000)) == (400, "invalid_request")


async def test_a_body_that_announces_ten_megabytes_is_not_read(lasting_issuer: Issuer) -> None:
    """F21."""
    read = 0

    async def body() -> AsyncIterator[bytes]:
        nonlocal read
        for _ in range(160):
            read += 1
            yield b"a" * 65_536

    response = await post(lasting_issuer, body(), content_length=str(160 * 65_536))
    assert refusal(response) == (413, "invalid_request")


async def test_a_body_that_does_not_announce_ten_megabytes_is_read_to_the_bound_only(lasting_issuer: Issuer) -> None:
    """F21: chunked, and with a length that lies."""

    async def body() -> AsyncIterator[bytes]:
        for _ in range(160):
            yield b"a" * 65_536

    assert refusal(await post(lasting_issuer, body())) == (413, "invalid_request")
    assert refusal(await post(lasting_issuer, body(), content_length="-1")) == (413, "invalid_request")
    assert refusal(await post(lasting_issuer, body(), content_length="9" * 18)) == (413, "invalid_request")


async def test_a_body_of_the_permitted_size_is_read(lasting_issuer: Issuer) -> None:
    """F21."""
    granted(await post(lasting_issuer, (LOGIN + "&x=").ljust(64 * 1024, "x")))
    assert refusal(await post(lasting_issuer, (LOGIN + "&x=").ljust(64 * 1024 + 1, "x"))) == (413, "invalid_request")


@pytest.mark.parametrize(
    "authorization",
    [
        "Basic",
        "Basic ",
        "Basic !!!!",
        "Basic é",
        "Basic /w==",
        "Basic " + "A" * 5000,
        "Basic ZGVtbw==",
        "Basic JTAwOng=",
        "Basic JWZmOng=",
        "Basic OnNlY3JldA==",
        "Bearer abc",
        "Digest username=x",
        "",
        "é",
    ],
    ids=ascii,
)
async def test_a_malformed_authorization_header_is_an_unauthenticated_client(
    lasting_issuer: Issuer, authorization: str
) -> None:
    """A31, I6: never a 500."""
    headers = [(b"content-type", FORM.encode()), (b"authorization", authorization.encode("utf-8"))]
    assert refusal(await lasting_issuer.http.post("/token", content=LOGIN, headers=headers)) == (401, "invalid_client")


async def test_two_authorization_headers_are_an_unauthenticated_client(lasting_issuer: Issuer) -> None:
    """A30."""
    headers = [("content-type", FORM), ("authorization", "Basic Og=="), ("authorization", "Basic Og==")]
    assert refusal(await lasting_issuer.http.post("/token", content=LOGIN, headers=headers)) == (401, "invalid_client")


async def test_a_refresh_without_a_token_is_malformed(lasting_issuer: Issuer) -> None:
    """RFC 6749 section 6."""
    assert refusal(await lasting_issuer.token("refresh_token")) == (400, "invalid_request")


@pytest.mark.parametrize("path", ["/token/", "//token", "/Token", "/nothing", "/token%2f", "/.well-known/"])
async def test_an_unknown_path_is_404_without_a_redirect(lasting_issuer: Issuer, path: str) -> None:
    """DESIGN 4: no slash redirects."""
    assert refusal(await lasting_issuer.http.post(path, content=LOGIN, headers={"content-type": FORM})) == (
        404,
        "invalid_request",
    )


async def test_a_service_token_needs_nothing_but_its_secret(lasting_issuer: Issuer) -> None:
    """A42."""
    granted(await lasting_issuer.token("client_credentials", SERVICE))
