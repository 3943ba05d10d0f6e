"""Files that pages show: the stylesheet and the logo."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response

_HEADERS = {
    "Cache-Control": "public, max-age=31536000, immutable",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    # An SVG that is opened by itself is a document of the issuer's origin: here its scripts do not run, and it loads nothing.
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; sandbox; frame-ancestors 'none'",
}


@dataclass(frozen=True, slots=True)
class Asset:
    """A file of our own, at a path named by its content: browsers may keep it for ever, and nothing comes from elsewhere
    (A10)."""

    body: bytes
    media_type: str
    ending: str

    @property
    def path(self) -> str:
        """Where it is, below the issuer's path."""
        return f"/assets/{hashlib.sha256(self.body).hexdigest()[:16]}.{self.ending}"

    async def answer(self, _request: Request) -> Response:
        """Answers with the file."""
        return Response(self.body, 200, _HEADERS, self.media_type)
