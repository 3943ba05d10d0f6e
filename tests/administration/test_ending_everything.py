"""`identity revoke --all`: nothing that was issued to anybody counts any more."""

from __future__ import annotations

from issuer_in_process import RESOURCE, Issuer, granted, refusal

from identity.administration.api_keys import NewApiKey
from identity.administration.revocation import OperatorRevocation
from identity.oauth.grants.sessions import Sessions
from identity.oauth.presented_token import TokenReader
from identity.verifier.profile import RuleKind


def revocation_at(issuer: Issuer) -> OperatorRevocation:
    stores = issuer.stores
    tokens = TokenReader(stores.families, issuer.app.state.keys, issuer.settings.issuer)
    sessions = Sessions(stores.ledger, stores.families)
    return OperatorRevocation(stores.ledger, sessions, tokens, issuer.people, issuer.clients, "test")


async def test_ending_everything_ends_tokens_sessions_and_api_keys(issuer: Issuer) -> None:
    """DESIGN 8: one rule and one row, however many there are; who logs in afterwards is not concerned."""
    people = [granted(await issuer.login(name)) for name in ("alice", "bob")]
    _, api_key = await issuer.api_keys.create(NewApiKey("nightly", user="bob", scopes=["orders:read"]))
    granted(await issuer.exchange(api_key))
    before = await issuer.settled()
    await revocation_at(issuer).everything()
    assert [rule[1] for rule in await issuer.rules() if rule[0] > before] == [RuleKind.EVERYTHING]
    for body in people:
        assert refusal(await issuer.refresh(body["refresh_token"])) == (400, "invalid_grant")
        asked = await issuer.http.post("/introspect", data={"token": body["access_token"]}, auth=RESOURCE)
        assert asked.json() == {"active": False}
    assert refusal(await issuer.exchange(api_key)) == (400, "invalid_grant")
    assert all(key.revoked_at for key in await issuer.api_keys.list())
    again = granted(await issuer.login())
    assert granted(await issuer.refresh(again["refresh_token"]))["refresh_token"] != again["refresh_token"]
