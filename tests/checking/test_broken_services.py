"""A careful service withstands everything; each bug planted in it is found by name, and nothing else is."""

from __future__ import annotations

import pytest
import services
from services import Careful, serving

from identity.checking.check import check
from identity.checking.findings import Finding, Verdict
from identity.checking.service import CannotCheck

EVERY_TYPE = "typ-missing typ-jwt typ-unknown id-token logout-token refresh-token introspection-answer"
WRONG_AUDIENCE = (
    "aud-missing aud-null aud-empty aud-of-another-service aud-longer aud-shorter aud-with-a-slash aud-among-words "
    "aud-array-without-us aud-object"
)
ODD_TIMES = "exp-text exp-year-9999 exp-beyond-any-calendar too-long-lived iat-in-the-future iat-missing"
BAD_SIGNATURE = "signature-bent signature-shortened signature-all-zero signature-of-another-token"
NO_SIGNATURE = f"signed-by-a-stranger payload-replaced {BAD_SIGNATURE}"
LATER_CONTROLS = " ".join(f"good-token-after-revoked-{name}" for name in ("jti", "grant-id", "client-id", "sub"))
SCOPE_IN_FULL = "scope-missing scope-longer scope-in-capitals"

BUGS = {
    services.TakesUnsigned: ("alg-none alg-none-with-a-signature alg-none-without-a-kid", ""),
    services.ForbidsOneSpellingOfNone: ("alg-none-in-capitals alg-none-in-mixed-case", "alg-missing"),
    services.LetsTheTokenChooseTheAlgorithm: ("hs256-with-the-pem", ""),
    services.UsesTheJwkAsSecret: ("hs256-with-the-jwk", ""),
    services.DecodesWithoutVerifying: (NO_SIGNATURE, "wrong-token-status error-invalid-token kid-of-another-key"),
    services.IgnoresTheType: (EVERY_TYPE, ""),
    services.IgnoresCritical: ("crit-unknown crit-b64", "crit-empty b64-false"),
    services.TrustsTheKeyInTheToken: ("jwk-embedded jwk-embedded-under-its-own-kid", "jwk-of-the-right-key"),
    services.FetchesWhatTheTokenNames: ("jku-elsewhere", ""),
    services.LooksButTrustsNobody: ("jku-elsewhere", ""),
    services.TrustsTheCertificateInTheToken: ("x5c-embedded", ""),
    services.OpensTheKid: ("kid-is-a-path", ""),
    services.TriesEveryKey: ("", "kid-of-another-key"),
    services.DiscoversTheIssuerOfTheToken: (
        "iss-with-a-slash iss-in-capitals iss-longer iss-shorter iss-elsewhere",
        "",
    ),
    services.ComparesTheBeginningOfTheIssuer: ("iss-with-a-slash iss-longer", ""),
    services.ForgivesASlash: ("iss-with-a-slash", ""),
    services.IgnoresTheAudience: (WRONG_AUDIENCE, ""),
    services.ChecksTheAudienceIfThereIsOne: ("aud-missing aud-null aud-empty", ""),
    services.FindsTheAudienceInAText: ("aud-longer aud-with-a-slash aud-among-words", ""),
    services.DecodesLeniently: ("", "padding-added unused-bits-set junk-in-the-signature four-segments"),
    services.ReadsJsonWithTwoParsers: ("json-and-compact-mixed", "json-serialisation"),
    services.ChecksSlowPasswords: ("encrypted-with-a-slow-password", ""),
    services.NeverExpires: ("expired exp-missing exp-null exp-zero exp-false exp-no-number exp-fraction", ODD_TIMES),
    services.TakesZeroForAbsent: ("exp-missing exp-null exp-zero exp-false", ""),
    services.IgnoresNotBefore: ("nbf-in-the-future", ""),
    services.TakesDigitsForANumber: ("", "exp-text"),
    services.ReadsTheQuery: ("token-in-the-query", "token-in-the-query-too"),
    services.TakesTheLastHeader: ("", "two-headers-good-last"),
    services.FindsTheScopeInAText: ("scope-longer", ""),
    services.IgnoresScopes: (SCOPE_IN_FULL, "error-insufficient-scope"),
    services.FetchesForEveryUnknownKid: ("unknown-kid-storm", ""),
    services.KnowsOneKeyOnly: (f"rotation-new-key {LATER_CONTROLS} good-token-after-everything", ""),
    services.KnowsNoSubjects: ("revoked-sub", ""),
    services.ListensWithoutObeying: ("revoked-jti revoked-grant-id revoked-client-id revoked-sub", ""),
    services.KeepsWithdrawnKeys: ("withdrawn-key", ""),
    services.OpenToAnyone: ("no-token token-in-the-query", "no-token-status no-token-challenge token-in-a-cookie"),
    services.SaysForbidden: (
        "",
        "no-token-status no-token-challenge wrong-token-status error-invalid-token error-insufficient-scope",
    ),
    services.BreaksOnDepth: ("", "nested-deep nested-deep-and-forged"),
}
"""What a bug must be found as, and the hints it gives."""

PATIENCE = {services.ListensWithoutObeying: {"revocation_bound": 0.5}}
"""Where the check waits for something that never comes, four times."""


def run(kind: type[Careful], plan_for, issuer_port: int, **changes: object) -> list[Finding]:
    with serving(kind(f"http://127.0.0.1:{issuer_port}")) as url:
        return list(check(plan_for(url, **changes), lambda _: None))


def names(findings: list[Finding], verdict: Verdict) -> set[str]:
    return {finding.name for finding in findings if finding.verdict is verdict}


@pytest.mark.parametrize("kind", BUGS, ids=lambda kind: kind.__name__)
def test_a_planted_bug_is_found_and_nothing_else(kind, plan_for, issuer_port):
    must, should = BUGS[kind]
    findings = run(kind, plan_for, issuer_port, **PATIENCE.get(kind, {}))
    assert names(findings, Verdict.FOUND) == set(must.split())
    assert names(findings, Verdict.HINT) == set(should.split())
    assert names(findings, Verdict.SKIPPED) == set()


def test_every_planted_bug_is_tried():
    kinds = {kind for kind in vars(services).values() if isinstance(kind, type) and issubclass(kind, Careful)}
    elsewhere = {Careful, services.FollowsNothing, services.ForgetsOldKeys, services.RefusesEveryoneAfterAWhile}
    assert set(BUGS) == kinds - elsewhere


def test_a_careful_service_withstands_everything(plan_for, issuer_port):
    findings = run(Careful, plan_for, issuer_port)
    assert {finding.name: finding.got for finding in findings if finding.verdict is not Verdict.OK} == {}
    assert len(findings) > 150


def test_a_service_that_follows_no_feed_is_told_so_and_not_blamed(plan_for, issuer_port):
    findings = run(services.FollowsNothing, plan_for, issuer_port)
    assert names(findings, Verdict.FOUND) == set()
    assert names(findings, Verdict.SKIPPED) == {"revoked-jti", "revoked-grant-id", "revoked-client-id", "revoked-sub"}
    assert names(findings, Verdict.HINT) == {"withdrawn-key"}


def test_without_scopes_their_checks_are_left_out(plan_for, issuer_port):
    findings = run(services.IgnoresScopes, plan_for, issuer_port, scopes=())
    assert {finding.verdict for finding in findings} == {Verdict.OK}
    assert not any("scope" in finding.name for finding in findings)


def test_a_service_that_locks_everyone_out_withstands_nothing(plan_for, issuer_port):
    """Every attack is refused, and every good token too: the controls say so."""
    findings = run(services.RefusesEveryoneAfterAWhile, plan_for, issuer_port)
    found = names(findings, Verdict.FOUND)
    assert {"good-token-after-headers", "good-token-after-claims", "good-token-after-everything"} <= found


def test_a_service_that_drops_published_keys_locks_people_out(plan_for, issuer_port):
    findings = run(services.ForgetsOldKeys, plan_for, issuer_port)
    assert "rotation-previous-key" in names(findings, Verdict.FOUND)


def test_a_request_that_was_steered_is_told(plan_for, issuer_port):
    findings = {each.name: each for each in run(services.LooksButTrustsNobody, plan_for, issuer_port)}
    assert findings["jku-elsewhere"].got == "401, and it asked the attacker's address"


def test_the_audience_and_the_scopes_are_those_of_the_plan(plan_for, issuer_port):
    """A service with another name refuses even good tokens, and the check cannot begin."""
    with pytest.raises(CannotCheck, match=r"refuses a good token for https://billing\.example with 401"):
        run(Careful, plan_for, issuer_port, audience="https://billing.example", patience=0.2)
    with pytest.raises(CannotCheck, match="say which scopes it needs"):
        run(Careful, plan_for, issuer_port, scopes=(), patience=0.2)
