"""The code of docs/verifying.md, run as it stands there against an issuer on a real socket."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from fake_issuer import AUDIENCE, FakeIssuer
from httpx2 import ASGITransport, AsyncClient

from identity.verifier import InsufficientScope, InvalidToken, Observer, VerifiedToken, Verifier

PAGE = Path(__file__).parents[2] / "docs/verifying.md"


def example(issuer: FakeIssuer, heading: str) -> dict[str, Any]:
    """Runs the block below a heading and returns its names."""
    text = PAGE.read_text(encoding="utf-8")
    section = re.split(r"^## ", text.partition(f"## {heading}\n")[2], flags=re.M)[0]
    (code,) = re.findall(r"^```python\n(.*?)^```$", section, re.S | re.M)
    code = code.replace("http://127.0.0.1:8000", issuer.url).replace("http://127.0.0.1:8001", AUDIENCE)
    names: dict[str, Any] = {}
    exec(compile(code, heading, "exec"), names)
    return names


@asynccontextmanager
async def asking(app: Any, verifier: Verifier) -> AsyncIterator[Callable[..., Any]]:
    async with verifier, AsyncClient(transport=ASGITransport(app=app), base_url=AUDIENCE) as http:

        async def status(method: str, path: str, token: str = "") -> int:
            answer = await http.request(method, path, headers={"Authorization": f"Bearer {token}"} if token else {})
            return answer.status_code

        yield status


async def test_fastapi(issuer: FakeIssuer) -> None:
    names = example(issuer, "FastAPI")
    async with asking(names["app"], names["verifier"]) as status:
        assert await status("GET", "/orders", issuer.mint()) == 200
        assert await status("DELETE", "/orders", issuer.mint()) == 403
        assert await status("DELETE", "/orders", issuer.mint(scope="orders:write")) == 200
        assert await status("GET", "/orders") == 401
        assert await status("GET", "/orders?access_token=x") == 400


async def test_asgi(issuer: FakeIssuer) -> None:
    names = example(issuer, "Any ASGI application")
    async with asking(names["app"], names["verifier"]) as status:
        assert await status("GET", "/", issuer.mint()) == 200
        assert await status("GET", "/") == 401
        assert await status("GET", "/", issuer.mint(scope="x")) == 403


async def test_plain_asynchronous(issuer: FakeIssuer, capsys: pytest.CaptureFixture[str]) -> None:
    names = example(issuer, "Plain Python, asynchronous")
    async with names["verifier"]:
        assert await names["subject_of"](issuer.mint()) == "alice"
        assert await names["subject_of"]("x.y.z") is None
        with pytest.raises(InsufficientScope):
            await names["subject_of"](issuer.mint(scope=None))
    assert capsys.readouterr().out == "refused: malformed\n"


def test_plain_synchronous(issuer: FakeIssuer) -> None:
    names = example(issuer, "Plain Python, synchronous")
    loop, verifier = names["loop"], names["verifier"]
    for _ in range(3):
        token: VerifiedToken = names["verified"](issuer.mint())
        assert token.subject == "alice"
    with pytest.raises(InvalidToken):
        names["verified"]("x.y.z")
    asyncio.run_coroutine_threadsafe(verifier.aclose(), loop).result()
    loop.call_soon_threadsafe(loop.stop)
    while loop.is_running():
        pass
    loop.close()


async def test_metrics(issuer: FakeIssuer) -> None:
    names = example(issuer, "Metrics")
    observer: Observer = names["Metrics"]()
    assert observer
    async with names["verifier"] as verifier:
        await verifier.verify(issuer.mint())
        with pytest.raises(InvalidToken):
            await verifier.verify("x.y.z")
    assert names["counts"] == {"accepted": 1, "refused_malformed": 1, "key_fetches": 1}
