"""Measures what an ID token costs: at the token endpoint, where it is the second signature, and where it is minted."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial

from benchmarks.flow_sites import OPENID, PLAIN, Site
from benchmarks.identity_server import IdentityServer
from benchmarks.processes import Load
from benchmarks.rounds import Ratio, interleave
from benchmarks.table import Row, Target, times
from benchmarks.tokens import access_tokens
from identity.oauth.assurance import ONE_FACTOR
from identity.tokens.id_token import IdTokenGrant, IdTokenMint

_CODES = 400
_MINTED = 200


def measure(identity: IdentityServer, sites: dict[str, Site], rounds: int) -> list[Row]:
    """Returns the rows: a redemption with an ID token against one without, here and there, and minting against signing."""
    names = [name for name in ("ours", "peer") if name in sites]
    variants = {(name, scope): partial(_redemptions, sites[name], scope) for name in names for scope in (OPENID, PLAIN)}
    found = interleave(rounds, variants)
    costs = {variant: [load.cpu_each for load in loads] for variant, loads in found.items()}
    rows = [_row(name, costs[name, OPENID], costs[name, PLAIN]) for name in names]
    return [*rows, _minting(identity, rounds)]


def _redemptions(site: Site, scope: str) -> Load:
    return site.redeem(site.codes(_CODES, scope), scope)


def _row(name: str, with_one: list[float], without: list[float]) -> Row:
    each = [f"{Ratio.around(costs).median * 1e6:.0f} µs" for costs in (with_one, without)]
    whose = {"ours": "redeeming a code with an ID token against without", "peer": "oidc-provider: the same"}[name]
    target = Target(2.0, 1.8, times, less_is_better=True)
    return Row(whose, target, Ratio.of(with_one, without), f"{each[0]} against {each[1]} of CPU; two signatures, one")


def _minting(identity: IdentityServer, rounds: int) -> Row:
    """In this process: claims, JSON, `at_hash`, base64 and the signature, against nothing but the signature."""
    mint, signer = IdTokenMint(identity.issuer, identity.settings.access_token_lifetime), identity.keys.signer
    (access_token,) = access_tokens(identity, 1)
    now = int(time.time())
    grant = IdTokenGrant("a" * 26, "shop-1", now, ("pwd",), ONE_FACTOR, "s" * 26, "n-0S6_WzA2Mj")
    payload = mint.mint(signer, grant, access_token, now).rpartition(".")[0].encode()
    found = interleave(
        rounds,
        {
            "mint": lambda: _cpu_of(lambda: mint.mint(signer, grant, access_token, now)),
            "sign": lambda: _cpu_of(lambda: signer._sign(payload)),
        },
    )
    each = {name: Ratio.around(values).median * 1e6 for name, values in found.items()}
    return Row(
        "minting an ID token against the bare RSA-2048 signature",
        Target(1.15, 1.05, times, less_is_better=True),
        Ratio.of(found["mint"], found["sign"]),
        f"{each['mint']:.0f} µs against {each['sign']:.0f} µs of CPU",
    )


def _cpu_of(work: Callable[[], object]) -> float:
    begin = time.process_time()
    for _ in range(_MINTED):
        work()
    return (time.process_time() - begin) / _MINTED
