"""A resource service: it verifies the identity server's access tokens locally and enforces their scopes.

This is the file to copy from. Start it with `uvicorn resource_example.app:create_app --factory --port 8001`.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from fastapi import FastAPI, Security
from pydantic import BaseModel, ConfigDict, Field

from identity.verifier import ANONYMOUS, ApiKeyExchange, Credential, DPoP, VerifiedToken, Verifier
from identity.verifier.fastapi import ApiKeyGuard, bearer_errors, verifier_lifespan
from identity.verifier.profile import JWKS_COOLDOWN

SCOPES = {"orders:read": "See orders", "orders:write": "Place orders"}


@dataclass(frozen=True, slots=True)
class Settings:
    """Where this service is and whom it trusts. `cooldown` in seconds: how often an unknown key id may cause a fetch.
    `snapshot` is a file with which the service starts while the issuer is down. `url` is what stands before the path where
    clients call it: tokens that are bound to a key come with a proof for that address. It is the audience unless it is set."""

    issuer: str = "http://127.0.0.1:8000"
    audience: str = "http://127.0.0.1:8001"
    credential: str | None = None
    feed: str | None = None
    cooldown: float = JWKS_COOLDOWN
    snapshot: Path | None = None
    url: str | None = None

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> "Settings":
        """Reads ORDERS_ISSUER, ORDERS_AUDIENCE, ORDERS_CREDENTIAL (`id:secret`), ORDERS_FEED, ORDERS_COOLDOWN,
        ORDERS_SNAPSHOT and ORDERS_URL."""
        default = cls()
        return cls(
            issuer=environment.get("ORDERS_ISSUER") or default.issuer,
            audience=environment.get("ORDERS_AUDIENCE") or default.audience,
            credential=environment.get("ORDERS_CREDENTIAL") or None,
            feed=environment.get("ORDERS_FEED") or None,
            cooldown=float(environment.get("ORDERS_COOLDOWN") or default.cooldown),
            snapshot=Path(path) if (path := environment.get("ORDERS_SNAPSHOT")) else None,
            url=environment.get("ORDERS_URL") or None,
        )

    def verifier(self) -> Verifier:
        """Returns a verifier; it follows revocations with a credential, or anonymously where the issuer allows that."""
        client_id, _, secret = (self.credential or "").partition(":")
        anonymous = ANONYMOUS if self.feed == "anonymous" else None
        credential = Credential(client_id, secret) if client_id else anonymous
        return Verifier(
            self.issuer, self.audience, credential=credential, cooldown=self.cooldown, snapshot=self.snapshot
        )


class NewOrder(BaseModel):
    """What a client sends to place an order."""

    model_config = ConfigDict(extra="forbid")

    item: str = Field(min_length=1, max_length=200)
    quantity: int = Field(default=1, ge=1, le=1000)


class Order(NewOrder):
    """A placed order."""

    number: int
    placed_by: str


def create_app(settings: Settings | None = None) -> FastAPI:
    """Builds the service; without `settings` the environment decides."""
    settings = settings or Settings.from_environment()
    verifier = settings.verifier()
    guard = ApiKeyGuard(ApiKeyExchange(verifier), scopes=SCOPES, dpop=DPoP(settings.url or settings.audience))
    orders: list[Order] = []
    app = FastAPI(title="Orders", lifespan=verifier_lifespan(verifier), swagger_ui_init_oauth={"clientId": ""})
    bearer_errors(app)

    @app.get("/")
    async def index() -> dict[str, str]:
        """Open to anyone."""
        return {"service": "orders", "documentation": "/docs"}

    @app.get("/health")
    async def health() -> dict[str, object]:
        """Tells what it knows: ready once it can judge tokens, and for good, also while the issuer is down."""
        status = verifier.status()
        return {"status": "ok", "ready": status.is_ready, "keys": len(status.key_ids), "rules": status.rules}

    @app.get("/me")
    async def me(token: Annotated[VerifiedToken, Security(guard)]) -> dict[str, object]:
        """Needs any valid token."""
        return {"subject": token.subject, "is_client": token.is_client, "scopes": sorted(token.scopes)}

    @app.get("/orders")
    async def list_orders(token: Annotated[VerifiedToken, Security(guard, scopes=["orders:read"])]) -> list[Order]:
        """Needs a token with `orders:read`; everyone sees their own orders only."""
        return [order for order in orders if order.placed_by == token.subject]

    @app.post("/orders", status_code=201)
    async def place_order(
        new: NewOrder, token: Annotated[VerifiedToken, Security(guard, scopes=["orders:write"])]
    ) -> Order:
        """Needs a token with `orders:write`."""
        order = Order(number=len(orders) + 1, placed_by=token.subject, **new.model_dump())
        orders.append(order)
        return order

    return app
