"""Checks that take several steps: how the service refuses, what it does as keys come and go, and whether it hears of
revocations."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Final

from identity.checking.attacks.attack import NOT_PERMITTED, Level
from identity.checking.bench import Bench
from identity.checking.findings import Finding, expect, skipped
from identity.checking.material import Request
from identity.checking.service import Answer
from identity.testing.issuer import JWKS_PATH
from identity.verifier.profile import RuleKind

STORM: Final = 20
"""Tokens with unknown kids, each a reason to look for new keys."""

STORM_FETCHES: Final = 4
"""Fetches they may cause, also where each of a few worker processes looks once."""


def answers(bench: Bench) -> Iterator[Finding]:
    """Checks what is answered to no token, to a wrong one and to one that does not permit this (V14, RFC 6750 section 3)."""
    missing = bench.send(Request())
    yield expect("no-token", "V14", Level.MUST, "no token at all", "refused", missing, not missing.is_success)
    yield _should("no-token-status", "the status without a token", "401", missing, missing.status == 401)
    challenge = _scheme(missing)
    yield _should("no-token-challenge", "WWW-Authenticate names Bearer", "Bearer", challenge, challenge == "bearer")
    wrong = bench.try_token(bench.material().forged())
    yield _should("wrong-token-status", "the status with a wrong token", "401", wrong, wrong.status == 401)
    error = _error(wrong)
    yield _should("error-invalid-token", "the error of a wrong token", "invalid_token", error, error == "invalid_token")
    if bench.plan.scopes:
        weak = bench.try_token(bench.issuer.token(bench.plan.subject))
        error = _error(weak)
        told = f"{weak} {error}".strip()
        is_met = weak.status in NOT_PERMITTED and error == "insufficient_scope"
        yield _should("error-insufficient-scope", "the error without a scope", "403 insufficient_scope", told, is_met)


def spellings(bench: Bench) -> Iterator[Finding]:
    """Checks that good tokens are accepted in every form that standards allow."""
    long_form = bench.try_token(bench.good_token(typ="application/at+jwt"))
    yield _accepted("typ-in-its-long-form", "V03", "typ application/at+jwt", long_form)
    array = bench.try_token(bench.good_token(aud=["https://another.example", bench.plan.audience]))
    yield _accepted("aud-array-with-us", "V06", "aud is an array, and we are in it", array)
    lower = bench.send(Request((("Authorization", f"bearer {bench.good_token()}"),)))
    yield _accepted("scheme-in-lower-case", "V15", "the scheme bearer in lower case", lower)


def rotation(bench: Bench) -> Iterator[Finding]:
    """Checks that keys may change: the next one was published before it signs, the previous one still is."""
    before = bench.good_token()
    bench.issuer.rotate()
    new = bench.try_token(bench.good_token())
    says = "a token of the key that was published as the next one"
    yield expect("rotation-new-key", "V17", Level.MUST, says, "accepted", new, new.is_success)
    old = bench.try_token(before)
    says = "a token of the previous key, still published"
    yield expect("rotation-previous-key", "V17", Level.MUST, says, "accepted", old, old.is_success)


def storm(bench: Bench) -> Iterator[Finding]:
    """Checks that tokens under unknown kids, which anyone can make, do not become as many requests to the issuer (V17)."""
    before = bench.issuer.requests[JWKS_PATH]
    for number in range(STORM):
        bench.try_token(bench.material().forged({"kid": f"unknown-{number}"}))
    fetches = bench.issuer.requests[JWKS_PATH] - before
    says = f"{STORM} tokens with unknown kids; how often keys were fetched"
    got, is_met = f"{fetches} fetches", fetches <= STORM_FETCHES
    yield expect("unknown-kid-storm", "V17", Level.MUST, says, f"at most {STORM_FETCHES}", got, is_met)


def nonsense_storm(bench: Bench) -> Iterator[Finding]:
    """Checks that text which is no token at all makes nobody fetch keys (V17)."""
    before = bench.issuer.requests[JWKS_PATH]
    for number in range(STORM):
        bench.try_token(f"nonsense-{number}")
    fetches = bench.issuer.requests[JWKS_PATH] - before
    says = f"{STORM} times text that is no token; how often keys were fetched"
    got, is_met = f"{fetches} fetches", fetches <= 1
    yield expect("nonsense-storm", "V17", Level.SHOULD, says, "none", got, is_met)


def revocations(bench: Bench) -> Iterator[Finding]:
    """Checks that what is revoked is refused in time, and what is issued afterwards is not (V12)."""
    is_followed = bench.is_followed(bench.plan.follow_bound)
    for name, claims in _REVOCABLE.items():
        check, says = f"revoked-{name.replace('_', '-')}", f"a token whose {name} was revoked"
        if not is_followed:
            yield skipped(check, "V12", says, "does not follow the feed")
            continue
        named = claims or {"sub": bench.plan.subject}
        token = bench.good_token(**claims)
        bench.try_token(token)
        bench.issuer.revoke(**named)  # type: ignore[arg-type]
        answer = bench.answer_until(token, is_success=False, seconds=bench.plan.revocation_bound)
        expected = f"refused in {bench.plan.revocation_bound:.0f} s"
        yield expect(check, "V12", Level.MUST, says, expected, answer, not answer.is_success)
        yield bench.control(check, bench.good_token(**claims))


_REVOCABLE: Final[dict[str, dict[str, str]]] = {
    RuleKind.TOKEN.value: {"jti": "a-revoked-token"},
    RuleKind.GRANT.value: {"grant_id": "a-revoked-grant"},
    RuleKind.CLIENT.value: {"client_id": "a-revoked-client"},
    RuleKind.SUBJECT.value: {},
}
"""What is revoked, and the claims of a token that it means; the subject is that of the whole run."""


def withdrawal(bench: Bench) -> Iterator[Finding]:
    """Checks that a previous key which is withdrawn is refused: at once by the feed, else when the cached keys expire."""
    key = bench.issuer.previous[0]
    token = bench.good_token(key=key)
    bench.try_token(token)
    bench.issuer.withdraw(key)
    is_followed = bench.is_followed()
    seconds = bench.plan.revocation_bound if is_followed else bench.plan.withdrawal_bound
    answer = bench.answer_until(token, is_success=False, seconds=seconds)
    says = "a token of a key that was withdrawn"
    # Who only caches keys cannot know better before they expire; how long that takes is the service's decision.
    level = Level.MUST if is_followed else Level.SHOULD
    yield expect("withdrawn-key", "V12", level, says, f"refused in {seconds:.0f} s", answer, not answer.is_success)


def _should(name: str, says: str, expected: str, got: object, is_met: bool) -> Finding:
    return expect(name, "V14", Level.SHOULD, says, expected, got or "nothing", is_met)


def _accepted(name: str, line: str, says: str, answer: Answer) -> Finding:
    return expect(name, line, Level.SHOULD, says, "accepted", answer, answer.is_success)


def _scheme(answer: Answer) -> str:
    return answer.challenge.partition(" ")[0].lower()


def _error(answer: Answer) -> str:
    """Returns the error code of an answer: in the challenge, where RFC 6750 wants it, or in the body."""
    for code in ("invalid_token", "insufficient_scope", "invalid_request"):
        if f'error="{code}"' in answer.challenge or f"error={code}" in answer.challenge:
            return code
    try:
        body = json.loads(answer.body)
    except ValueError:
        return ""
    return str(body.get("error", "")) if isinstance(body, dict) else ""


TRIALS: Final = (spellings, rotation, nonsense_storm, revocations, withdrawal, storm)
"""In this order, after the attacks. The storm is last: after it, a service may rightly not look for keys for a while."""
