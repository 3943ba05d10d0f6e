"""The applications that ours is compared with: FastAPI's smallest, and one endpoint open and the same one protected."""

# No `from __future__ import annotations`: FastAPI evaluates what its endpoints are annotated with.

import os
import sys
from typing import Annotated, Any

import uvicorn
from fastapi import FastAPI, Security

from benchmarks.processes import HOST


def hello(**options: Any) -> FastAPI:
    """FastAPI's smallest JSON answer."""
    app = FastAPI(**options)

    @app.get("/")
    async def root() -> dict[str, str]:
        return {"hello": "world"}

    return app


def protected() -> FastAPI:
    """The same endpoint, open at `/` and protected at `/protected` by a dependency; revocation feed on."""
    from identity.verifier.fastapi import BearerGuard, verifier_lifespan

    verifier = _verifier()
    app, guard = hello(lifespan=verifier_lifespan(verifier)), BearerGuard(verifier)

    @app.get("/protected")
    async def only_readers(
        _token: Annotated[Any, Security(guard, scopes=["orders:read"])],
    ) -> dict[str, str]:
        return {"hello": "world"}

    return app


def behind_middleware() -> FastAPI:
    """The same endpoint at `/protected`, with the middleware in front of the application."""
    from identity.verifier.asgi import BearerMiddleware
    from identity.verifier.fastapi import verifier_lifespan

    verifier = _verifier()
    app = hello(lifespan=verifier_lifespan(verifier))

    @app.get("/protected")
    async def only_readers() -> dict[str, str]:
        return {"hello": "world"}

    app.add_middleware(BearerMiddleware, verifier=verifier, scopes=["orders:read"], open_paths=["/"])
    return app


def _verifier() -> Any:
    from identity.verifier import Credential, Verifier

    return Verifier(
        os.environ["BENCHMARK_ISSUER"],
        os.environ["BENCHMARK_AUDIENCE"],
        credential=Credential("orders", os.environ["BENCHMARK_SECRET"]),
    )


def main() -> None:
    """Serves one of them with the settings of the identity server's own process."""
    app = {"hello": hello, "protected": protected, "behind-middleware": behind_middleware}[sys.argv[1]]()
    uvicorn.run(
        app,
        host=HOST,
        port=int(sys.argv[2]),
        access_log=False,
        log_config=None,
        proxy_headers=False,
        server_header=False,
    )


if __name__ == "__main__":
    main()
