"""What the endpoints are given by the composition root."""

from __future__ import annotations

from dataclasses import dataclass

from starlette.requests import Request

from identity.accounts.sessions import LoginSessions
from identity.feed.clocks import Clocks
from identity.feed.follower import Follower
from identity.feed.verifiers import Verifiers
from identity.keyring.live import LiveKeys
from identity.oauth.authorization.consents import ConsentRecords
from identity.oauth.authorization.decision import Authorization
from identity.oauth.authorization.interactions import Interactions
from identity.oauth.authorization.pushed import PushedAuthorization
from identity.oauth.authorization.sign_in import SignIn
from identity.oauth.client_authentication import ClientAuthentication
from identity.oauth.grants.pipeline import Audit, TokenPipeline
from identity.oauth.introspection import Introspection
from identity.oauth.logout import Logout
from identity.oauth.logout_everywhere import LogoutEverywhere
from identity.oauth.registration.endpoint import Registration
from identity.oauth.registry import Registry
from identity.oauth.revocation import Revocation
from identity.oauth.subjects import Subjects
from identity.oauth.userinfo import UserInfo
from identity.settings import Settings
from identity.verifier.certificates import CertificateHeader, ClientCertificate
from identity.web.addresses import ClientAddress
from identity.web.branding import Branding
from identity.web.stopping import Stop


@dataclass(frozen=True, slots=True)
class Browsers:
    """What the pages use: how requests are answered, where they wait, who is logged in, how one logs in, and out."""

    authorization: Authorization
    pushed: PushedAuthorization
    interactions: Interactions
    sessions: LoginSessions
    sign_in: SignIn
    consents: ConsentRecords
    logout: Logout


@dataclass(frozen=True, slots=True)
class Services:
    """Everything an endpoint may use; made once for each process. No `registration`: clients cannot register themselves."""

    settings: Settings
    keys: LiveKeys
    follower: Follower
    authentication: ClientAuthentication
    tokens: TokenPipeline
    revocation: Revocation
    introspection: Introspection
    address: ClientAddress
    registry: Registry
    browsers: Browsers
    branding: Branding
    userinfo: UserInfo
    logout_everywhere: LogoutEverywhere
    subjects: Subjects
    registration: Registration | None
    verifiers: Verifiers
    clocks: Clocks
    audit: Audit
    stop: Stop
    certificates: CertificateHeader | None

    def certificate_of(self, request: Request) -> ClientCertificate | None:
        """Returns the certificate of whoever is at the other end of the connection, where a proxy tells of it."""
        return self.certificates.of(request.scope) if self.certificates else None

    def sender_of(self, request: Request) -> tuple[Request, str, ClientCertificate | None]:
        """Returns the request, from which address it came, and with which certificate."""
        return request, self.address.of(request), self.certificate_of(request)
