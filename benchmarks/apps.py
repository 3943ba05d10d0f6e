"""The applications that ours is compared with: FastAPI's smallest, and one endpoint open and the same one protected."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import uvicorn
from fastapi import FastAPI

from benchmarks.processes import HOST


def hello() -> FastAPI:
    """FastAPI's smallest JSON answer."""
    app = FastAPI()

    @app.get("/")
    async def root() -> dict[str, str]:
        return {"hello": "world"}

    return app


def protected() -> FastAPI:
    """The same endpoint, open at `/` and protected at `/protected`, revocation feed on."""
    from fastapi import Security

    from identity.verifier import VerifiedToken, Verifier
    from identity.verifier.fastapi import Guard

    app = hello()
    verifier = Verifier(
        issuer=os.environ["BENCHMARK_ISSUER"],
        audience=os.environ["BENCHMARK_AUDIENCE"],
        credential=os.environ["BENCHMARK_CREDENTIAL"],
    )
    guard = Guard(verifier)

    @app.get("/protected")
    async def only_readers(
        _token: Annotated[VerifiedToken, Security(guard, scopes=["orders:read"])],
    ) -> dict[str, str]:
        return {"hello": "world"}

    return app


def main() -> None:
    """Serves one of them with the settings of the identity server's own process."""
    app = {"hello": hello, "protected": protected}[sys.argv[1]]()
    uvicorn.run(
        app, host=HOST, port=int(sys.argv[2]), access_log=False, log_config=None, proxy_headers=False, server_header=False
    )


if __name__ == "__main__":
    main()
