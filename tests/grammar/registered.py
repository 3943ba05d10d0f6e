"""The clients that requests are made up for, as a reader of their registrations knows them."""

from __future__ import annotations

from dataclasses import dataclass

from background_issuer import BackgroundIssuer

from identity.oauth.registration.new_client import NewClient

SCOPES = ["openid", "profile", "email", "offline_access", "orders:read", "orders:write"]
GRANTS = ["authorization_code", "refresh_token"]


@dataclass(frozen=True)
class Known:
    """Where browsers may be sent for a client. `is_loopback`: whichever port is right (RFC 8252 section 7.3)."""

    redirect_uris: tuple[str, ...]
    after_logout: tuple[str, ...] = ()


KNOWN = {
    "demo-web": Known(("http://127.0.0.1/callback",), ("http://127.0.0.1/",)),
    "shop": Known(("https://shop.example/signed-in?from=issuer",), ("https://shop.example/bye",)),
    "posted": Known(("https://posted.example/cb",)),
    "phone": Known(("com.example.phone:/signed-in",)),
    "keeper": Known(("https://keeper.example/a", "https://keeper.example/b/c")),
    "demo": Known(()),
    "demo-service": Known(()),
}
NEW = (
    NewClient(
        "shop",
        GRANTS,
        SCOPES,
        authentication_method="none",
        redirect_uris=KNOWN["shop"].redirect_uris,
        post_logout_redirect_uris=KNOWN["shop"].after_logout,
        is_trusted=True,
    ),
    NewClient(
        "posted",
        GRANTS,
        SCOPES,
        name="Posted <b>& 'quoted'</b>",
        authentication_method="none",
        redirect_uris=KNOWN["posted"].redirect_uris,
        response_modes=["form_post"],
        is_trusted=True,
    ),
    NewClient("phone", GRANTS, SCOPES, authentication_method="none", redirect_uris=KNOWN["phone"].redirect_uris),
    NewClient(
        "keeper",
        [*GRANTS, "client_credentials"],
        SCOPES,
        redirect_uris=KNOWN["keeper"].redirect_uris,
        requires_pkce=False,
        is_trusted=True,
    ),
)


def register(server: BackgroundIssuer) -> None:
    """Registers them, and notes the secrets of those that have one."""

    async def create() -> None:
        for new in NEW:
            _, secret = await server.issuer.clients.create(new)
            if secret:
                server.secrets[new.client_id] = secret
        await server.issuer.settled()

    server.wait_for(create())
