"""The table of endpoints, on one page."""

from __future__ import annotations

from urllib.parse import urlsplit

from identity.oauth import metadata as paths
from identity.web.authorize import AuthorizationEndpoint
from identity.web.browser import BrowserState
from identity.web.cookies import Cookies
from identity.web.discovery import Discovery
from identity.web.feed import FeedEndpoint
from identity.web.front import Endpoints
from identity.web.health import Health
from identity.web.introspection import IntrospectionEndpoint
from identity.web.logout import LogoutEndpoint
from identity.web.logout_everywhere import LogoutEverywhereEndpoint
from identity.web.pages import Pages
from identity.web.pushed import PushedAuthorizationEndpoint
from identity.web.registration import RegistrationEndpoint
from identity.web.services import Services
from identity.web.token import TokenEndpoint
from identity.web.userinfo import UserInfoEndpoint


def endpoints(services: Services) -> Endpoints:
    """Returns every endpoint of the protocol: path, method, handler. `openapi.py` describes them."""
    token, introspection, discovery, feed, health = (
        TokenEndpoint(services),
        IntrospectionEndpoint(services),
        Discovery(services),
        FeedEndpoint(services),
        Health(services),
    )
    base = issuer_path(services.settings.issuer)
    userinfo, pushed = UserInfoEndpoint(services), PushedAuthorizationEndpoint(services)
    return {
        **_pages(services, base),
        **_registration(services, base),
        base + paths.USERINFO_PATH: {"GET": userinfo.userinfo, "POST": userinfo.userinfo},
        base + paths.LOGOUT_EVERYWHERE_PATH: {"POST": LogoutEverywhereEndpoint(services).log_out},
        base + paths.TOKEN_PATH: {"POST": token.token},
        base + paths.PUSHED_AUTHORIZATION_PATH: {"POST": pushed.push},
        base + paths.REVOCATION_PATH: {"POST": token.revoke},
        base + paths.INTROSPECTION_PATH: {"POST": introspection.introspect},
        base + paths.JWKS_PATH: {"GET": discovery.jwks},
        # RFC 8414 puts the issuer's path behind the well-known one, OpenID Connect Discovery before it.
        paths.AUTHORIZATION_SERVER_PATH + base: {"GET": discovery.metadata},
        base + paths.OPENID_CONFIGURATION_PATH: {"GET": discovery.metadata},
        base + paths.FEED_PATH: {"GET": feed.poll},
        "/health/live": {"GET": health.live},
        "/health/ready": {"GET": health.ready},
    }


def _registration(services: Services, base: str) -> Endpoints:
    if services.registration is None:
        return {}
    registration = RegistrationEndpoint(services.registration, services.address)
    return {base + paths.REGISTRATION_PATH: {"POST": registration.register}}


def _pages(services: Services, base: str) -> Endpoints:
    """Returns what people see; its errors are pages too."""
    pages, cookies, browsers = Pages(services.branding), Cookies(services.settings.issuer), services.browsers
    state = BrowserState(browsers.sessions, browsers.interactions, cookies)
    authorization = AuthorizationEndpoint(browsers, state, cookies, pages, services.address, base)
    logout = LogoutEndpoint(browsers, state, cookies, pages, services.address, base)
    table: Endpoints = {
        paths.AUTHORIZATION_PATH: {"GET": authorization.authorize, "POST": authorization.authorize},
        paths.LOGIN_PATH: {"GET": authorization.show_login, "POST": authorization.log_in},
        paths.CONSENT_PATH: {"GET": authorization.show_consent, "POST": authorization.consent},
        paths.LOGOUT_PATH: {"GET": logout.logout, "POST": logout.logout},
        paths.LOGOUT_CONFIRMATION_PATH: {"POST": logout.confirm},
        **{asset.path: {"GET": asset.answer} for asset in services.branding.assets},
    }
    return {
        base + path: {method: pages.answering(handler) for method, handler in methods.items()}
        for path, methods in table.items()
    }


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


_FOR_PAGES = (
    paths.TOKEN_PATH,
    paths.PUSHED_AUTHORIZATION_PATH,
    paths.REVOCATION_PATH,
    paths.USERINFO_PATH,
    paths.LOGOUT_EVERYWHERE_PATH,
    paths.REGISTRATION_PATH,
)


def client_paths(issuer: str) -> frozenset[str]:
    """Returns the paths that web pages of registered origins may call."""
    base = issuer_path(issuer)
    return frozenset(base + path for path in _FOR_PAGES)


def issuer_path(issuer: str) -> str:
    """Returns the path of an issuer that shares its host with others; empty for most."""
    return urlsplit(issuer).path
