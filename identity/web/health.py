"""`GET /health/live` and `GET /health/ready`."""

from __future__ import annotations

import json

from starlette.requests import Request
from starlette.responses import Response

from identity.verifier.profile import FEED_MAX_AGE
from identity.web.errors import NO_STORE
from identity.web.services import Services


class Health:
    """Liveness says that the process runs; readiness that it can issue and goes on doing so, and if not, why not."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def live(self, _request: Request) -> Response:
        """Always 200."""
        return Response(b'{"status":"live"}', 200, NO_STORE, "application/json")

    async def ready(self, _request: Request) -> Response:
        """200 while SQL and Redis have answered, and agreed, within two seconds; else, and once told to stop, 503 with the
        reason."""
        follower = self._services.follower
        if self._services.stop.has_begun:
            reason = "The server is stopping"
        elif follower.age <= FEED_MAX_AGE:
            return Response(b'{"status":"ready"}', 200, NO_STORE, "application/json")
        else:
            reason = follower.problem or "The revocation feed is not confirmed"
        body = json.dumps({"status": "not ready", "reason": reason})
        return Response(body.encode(), 503, {**NO_STORE, "Retry-After": "1"}, "application/json")
