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
    """The same endpoint, open at `/` and protected at `/protected`, revocation feed on."""
    from identity.verifier import Credential, Verifier
    from identity.verifier.fastapi import BearerGuard, verifier_lifespan

    verifier = Verifier(
        os.environ["BENCHMARK_ISSUER"],
        os.environ["BENCHMARK_AUDIENCE"],
        credential=Credential("orders", os.environ["BENCHMARK_SECRET"]),
    )
    app, guard = hello(lifespan=verifier_lifespan(verifier)), BearerGuard(verifier)

    @app.get("/protected")
    async def only_readers(
        _token: Annotated[Any, Security(guard, scopes=["orders:read"])],
    ) -> dict[str, str]:
        return {"hello": "world"}

    return app


def main() -> None:
    """Serves one of them with the settings of the identity server's own process."""
    app = {"hello": hello, "protected": protected}[sys.argv[1]]()
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
