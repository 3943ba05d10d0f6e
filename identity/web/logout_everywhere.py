"""`POST /logout/everywhere`."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from identity.web.access import read_access_request
from identity.web.errors import NO_STORE
from identity.web.services import Services


class LogoutEverywhereEndpoint:
    """For apps: JSON, and no page. A form of another site cannot send it, because it has no token (A12)."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def log_out(self, request: Request) -> Response:
        """Ends everything the person of the token has; when it answers, every server of the issuer refuses it."""
        access = await read_access_request(request, self._services.certificate_of(request))
        await self._services.logout_everywhere.end(access, self._services.address.of(request))
        return Response(b"{}", 200, NO_STORE, "application/json")
