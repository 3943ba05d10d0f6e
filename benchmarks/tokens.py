"""Access tokens for the rows that verify them: minted with the server's own keys, as a refresh would."""

from __future__ import annotations

import time

from benchmarks.identity_server import IdentityServer
from identity.feed.rules import Head
from identity.keyring.signers import Signer
from identity.tokens.access_token import AccessTokenGrant, AccessTokenMint
from identity.tokens.refresh_token import Family
from identity.wiring.parts import Stores


def access_tokens(identity: IdentityServer, count: int) -> list[str]:
    """Returns `count` different tokens of alice for the resource `orders`, newer than every rule of the feed."""

    async def prepare(stores: Stores) -> tuple[list[Family], Head]:
        return await identity.new_families(stores, 1), await stores.journal.head()

    (family, *_), head = identity.with_stores(prepare)
    signer: Signer = identity.keys.signer
    mint = AccessTokenMint(identity.issuer, identity.settings.access_token_lifetime)
    grant = AccessTokenGrant(
        subject=family.subject,
        client_id=family.client_id,
        audience=family.audience,
        token_type="at+jwt",
        scopes=family.scopes,
        revision=head.seq,
        grant_id=family.family,
        auth_time=family.auth_time,
        authentication_methods=family.authentication_methods,
    )
    now = int(time.time())
    return [mint.mint(signer, grant, now) for _ in range(count)]
