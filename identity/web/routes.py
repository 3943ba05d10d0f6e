"""The table of endpoints, on one page."""

from __future__ import annotations

from urllib.parse import urlsplit

from fastapi import FastAPI
from starlette.routing import Route

from identity.oauth import metadata as paths
from identity.web.discovery import Discovery
from identity.web.feed import FeedEndpoint
from identity.web.health import Health
from identity.web.services import Services
from identity.web.token import TokenEndpoint


def add_routes(app: FastAPI, services: Services) -> None:
    """Adds every endpoint. They are plain Starlette routes: FastAPI's dependency machinery costs more than the work most
    of them do. `openapi.py` describes them."""
    token, discovery, feed, health = (
        TokenEndpoint(services),
        Discovery(services),
        FeedEndpoint(services),
        Health(services),
    )
    base = issuer_path(services.settings.issuer)
    app.router.routes.extend(
        [
            Route(base + paths.TOKEN_PATH, token.token, methods=["POST"]),
            Route(base + paths.REVOCATION_PATH, token.revoke, methods=["POST"]),
            Route(base + paths.JWKS_PATH, discovery.jwks, methods=["GET"]),
            # RFC 8414 puts the issuer's path behind the well-known one, OpenID Connect Discovery before it.
            Route(paths.AUTHORIZATION_SERVER_PATH + base, discovery.metadata, methods=["GET"]),
            Route(base + paths.OPENID_CONFIGURATION_PATH, discovery.metadata, methods=["GET"]),
            Route(base + paths.FEED_PATH, feed.poll, methods=["GET"]),
            Route("/health/live", health.live, methods=["GET"]),
            Route("/health/ready", health.ready, methods=["GET"]),
        ]
    )


def public_paths(issuer: str) -> frozenset[str]:
    """Returns the paths that any web page may read."""
    base = issuer_path(issuer)
    return frozenset(
        {
            paths.AUTHORIZATION_SERVER_PATH + base,
            base + paths.OPENID_CONFIGURATION_PATH,
            base + paths.JWKS_PATH,
        }
    )


def client_paths(issuer: str) -> frozenset[str]:
    """Returns the paths that web pages of registered origins may call."""
    base = issuer_path(issuer)
    return frozenset({base + paths.TOKEN_PATH, base + paths.REVOCATION_PATH})


def issuer_path(issuer: str) -> str:
    """Returns the path of an issuer that shares its host with others; empty for most."""
    return urlsplit(issuer).path
