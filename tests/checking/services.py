"""A small careful service on a real socket, written apart from the product's verifier, and the same with one bug each."""

from __future__ import annotations

import base64
import hmac
import json
import threading
import time
import urllib.request
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.client import HTTPException
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt import PyJWK

from identity.verifier.compact import split, strict_json_object, to_bytes
from identity.verifier.errors import InvalidToken
from identity.verifier.feed_answers import read_answer
from identity.verifier.profile import rule_digest

AUDIENCE = "https://orders.example"
SCOPE = "orders:read"
Claims = dict[str, object]


class Refused(Exception):
    def __init__(self, status: int = 401, error: str = "invalid_token") -> None:
        self.status, self.error = status, error


def need(holds: object) -> None:
    if not holds:
        raise Refused


class Careful:
    """Every step is a method, so that a bug is one method replaced."""

    follows = True
    feed_kinds = ("jti", "grant_id", "client_id", "sub")

    def __init__(self, issuer: str) -> None:
        self.issuer = issuer
        self.keys: dict[str, dict[str, str]] = {}
        self.last_fetch = float("-inf")
        self.numbers: dict[bytes, int] = defaultdict(int)
        self.withdrawn: set[bytes] = set()
        self.stopped = threading.Event()
        self.fetching = threading.Lock()

    # --- one request ---

    def answer(self, headers: list[tuple[str, str]], query: str) -> tuple[int, str]:
        """Returns status and challenge."""
        try:
            self.check(self.token(headers, query))
        except (Refused, InvalidToken) as refused:
            status, error = getattr(refused, "status", 401), getattr(refused, "error", "invalid_token")
            return status, f'Bearer error="{error}"' if error else "Bearer"
        except Exception:
            return 500, ""
        return 200, ""

    def token(self, headers: list[tuple[str, str]], query: str) -> str:
        values = [value for name, value in headers if name == "authorization"]
        if "access_token" in dict(parse_qsl(query)) or len(values) > 1:
            raise Refused(400, "invalid_request")
        scheme, _, token = values[0].partition(" ") if values else ("", "", "")
        if scheme.lower() != "bearer":
            raise Refused(401, "")
        return token.strip(" ")

    def check(self, token: str) -> None:
        header, payload, signature, signed = self.parse(token)
        self.check_header(header)
        self.check_signature(header, signature, signed)
        claims = self.read(payload)
        self.check_issuer(claims)
        self.check_audience(claims.get("aud"))
        self.check_times(claims)
        self.check_rest(claims)
        need(not self.is_revoked(claims))
        self.check_scope(claims)

    def parse(self, token: str) -> tuple[Claims, bytes, bytes, bytes]:
        """Returns the header, and payload, signature and signing input as bytes."""
        _, payload, signature, signed = split(to_bytes(token))
        header = signed.partition(b".")[0]
        return self.read(base64.urlsafe_b64decode(header + b"===")), payload, signature, signed

    def read(self, data: bytes) -> Claims:
        try:
            return strict_json_object(data)
        except ValueError:
            raise Refused from None

    # --- the header ---

    def check_header(self, header: Claims) -> None:
        self.check_algorithm(header)
        self.check_type(header)
        self.check_extensions(header)
        need(isinstance(header.get("kid"), str))

    def check_algorithm(self, header: Claims) -> None:
        need(header.get("alg") == "RS256")

    def check_type(self, header: Claims) -> None:
        need(header.get("typ") in ("at+jwt", "application/at+jwt"))

    def check_extensions(self, header: Claims) -> None:
        need(not {"crit", "b64", "zip", "jku", "jwk", "x5u", "x5c"} & set(header))

    # --- the keys ---

    def check_signature(self, header: Claims, signature: bytes, signed: bytes) -> None:
        verify(self.key(header), signature, signed)

    def key(self, header: Claims) -> RSAPublicKey:
        kid = str(header["kid"])
        need(rule_digest("kid", kid) not in self.withdrawn)
        if kid not in self.keys:
            self.fetch()
        need(kid in self.keys)
        return PyJWK(self.keys[kid]).key

    def fetch(self) -> None:
        with self.fetching:
            if time.monotonic() - self.last_fetch > 60:
                self.last_fetch = time.monotonic()
                self.keys = {key["kid"]: key for key in fetch_keys(self.issuer + "/.well-known/jwks.json")}

    # --- the claims ---

    def check_issuer(self, claims: Claims) -> None:
        need(claims.get("iss") == self.issuer)

    def check_audience(self, aud: object) -> None:
        need(aud == AUDIENCE or (isinstance(aud, list) and AUDIENCE in aud))

    def check_times(self, claims: Claims) -> None:
        now, (iat, exp) = time.time(), (claims.get("iat"), claims.get("exp"))
        need(type(iat) is int and type(exp) is int)
        need(iat < now + 30 and exp > now - 30 and exp - iat <= 900)
        self.check_not_before(claims, now)

    def check_not_before(self, claims: Claims, now: float) -> None:
        need(claims.get("nbf", 0) < now + 30)

    def check_rest(self, claims: Claims) -> None:
        need(all(isinstance(claims.get(name), str) and claims[name] for name in ("sub", "client_id", "jti")))
        need("cnf" not in claims)
        need(isinstance(claims.get("scope", ""), str))

    def check_scope(self, claims: Claims) -> None:
        if SCOPE not in str(claims.get("scope", "")).split(" "):
            raise Refused(403, "insufficient_scope")

    # --- revocations ---

    def is_revoked(self, claims: Claims) -> bool:
        digests = [rule_digest(kind, str(claims[kind])) for kind in self.feed_kinds if kind in claims]
        return any(self.numbers[digest] > claims.get("rev", -1) for digest in digests)

    def withdraw(self, digest: bytes) -> None:
        self.withdrawn.add(digest)

    def follow(self) -> None:
        cursor = ""
        while not self.stopped.is_set():
            try:
                with urllib.request.urlopen(f"{self.issuer}/revocations?wait=20{cursor}", timeout=30) as response:
                    answer = read_answer(response.read())
            except (OSError, ValueError):
                self.stopped.wait(0.02)
                continue
            for rule in answer.rules:
                if rule.kind == "kid":
                    self.withdraw(rule.digest)
                else:
                    self.numbers[rule.digest] = rule.seq
            cursor = f"&cursor={answer.epoch}.{answer.seq}"


def verify(key: RSAPublicKey, signature: bytes, signed: bytes) -> None:
    try:
        key.verify(signature, signed, PKCS1v15(), SHA256())
    except InvalidSignature:
        raise Refused from None


def fetch_keys(address: str) -> list[dict[str, str]]:
    with urllib.request.urlopen(address, timeout=5) as response:
        return json.load(response)["keys"]


@contextmanager
def serving(service: Careful) -> Iterator[str]:
    """Yields the address of the protected endpoint."""

    class Handler(BaseHTTPRequestHandler):
        disable_nagle_algorithm = True

        def do_GET(self) -> None:
            headers = [(name.lower(), value) for name, value in self.headers.items()]
            status, challenge = service.answer(headers, urlsplit(self.path).query)
            self.send_response(status)
            if challenge:
                self.send_header("WWW-Authenticate", challenge)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """The output of tests is no access log."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threads = [threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)]
    if service.follows:
        threads.append(threading.Thread(target=service.follow, daemon=True))
    for thread in threads:
        thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/orders"
    finally:
        service.stopped.set()
        server.shutdown()
        server.server_close()
        for thread in threads:
            thread.join(5)


# --- the bugs --------------------------------------------------------------------------------------------------------


class FollowsNothing(Careful):
    follows = False


class TakesUnsigned(Careful):
    """alg none is an algorithm like others."""

    def parse(self, token: str) -> tuple[Claims, bytes, bytes, bytes]:
        if not token.endswith("."):
            return super().parse(token)
        header, payload, _, signed = super().parse(token + "AAAA")
        return header, payload, b"", signed

    def check_header(self, header: Claims) -> None:
        if header.get("alg") != "none":
            super().check_header(header)

    def check_signature(self, header: Claims, signature: bytes, signed: bytes) -> None:
        if header["alg"] != "none":
            super().check_signature(header, signature, signed)


class ForbidsOneSpellingOfNone(TakesUnsigned):
    """`none` is on a list of forbidden names; NONE is not."""

    def check_header(self, header: Claims) -> None:
        alg = str(header.get("alg"))
        if alg.lower() != "none" or alg == "none":
            Careful.check_header(self, header)

    def check_signature(self, header: Claims, signature: bytes, signed: bytes) -> None:
        if str(header["alg"]).lower() != "none":
            Careful.check_signature(self, header, signature, signed)


class LetsTheTokenChooseTheAlgorithm(Careful):
    """The classic: one `verify(token, key)` whose key is a PEM text."""

    def check_algorithm(self, header: Claims) -> None:
        need(header.get("alg") in ("RS256", "HS256"))

    def secret(self, key: RSAPublicKey) -> bytes:
        return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)

    def check_signature(self, header: Claims, signature: bytes, signed: bytes) -> None:
        if header["alg"] == "RS256":
            super().check_signature(header, signature, signed)
        else:
            need(hmac.compare_digest(hmac.digest(self.secret(self.key(header)), signed, "sha256"), signature))


class UsesTheJwkAsSecret(LetsTheTokenChooseTheAlgorithm):
    def check_signature(self, header: Claims, signature: bytes, signed: bytes) -> None:
        if header["alg"] == "RS256":
            Careful.check_signature(self, header, signature, signed)
        else:
            self.key(header)
            secret = json.dumps(self.keys[str(header["kid"])], separators=(",", ":")).encode()
            need(hmac.compare_digest(hmac.digest(secret, signed, "sha256"), signature))


class DecodesWithoutVerifying(Careful):
    """`decode(token)` where `verify(token)` was meant."""

    def check_signature(self, header: Claims, signature: bytes, signed: bytes) -> None:
        self.key(header)


class IgnoresTheType(Careful):
    def check_type(self, header: Claims) -> None:
        """Any token of the issuer's will do."""


class IgnoresCritical(Careful):
    def check_extensions(self, header: Claims) -> None:
        need(not {"zip", "jku", "jwk", "x5u", "x5c"} & set(header))


class TrustsTheKeyInTheToken(Careful):
    def check_extensions(self, header: Claims) -> None:
        need(not {"crit", "b64", "zip", "jku", "x5u", "x5c"} & set(header))

    def key(self, header: Claims) -> RSAPublicKey:
        return PyJWK(header["jwk"]).key if "jwk" in header else super().key(header)


class FetchesWhatTheTokenNames(Careful):
    def check_extensions(self, header: Claims) -> None:
        need(not {"crit", "b64", "zip", "jwk", "x5u", "x5c"} & set(header))

    def key(self, header: Claims) -> RSAPublicKey:
        if "jku" not in header:
            return super().key(header)
        (found,) = (key for key in fetch_keys(str(header["jku"])) if key["kid"] == header["kid"])
        return PyJWK(found).key


class LooksButTrustsNobody(FetchesWhatTheTokenNames):
    """It fetches what the token names, and then refuses it: nobody gets in, but requests can be steered."""

    def key(self, header: Claims) -> RSAPublicKey:
        if "jku" in header:
            super().key(header)
            raise Refused
        return Careful.key(self, header)


class TrustsTheCertificateInTheToken(Careful):
    def check_extensions(self, header: Claims) -> None:
        need(not {"crit", "b64", "zip", "jwk", "x5u", "jku"} & set(header))

    def key(self, header: Claims) -> RSAPublicKey:
        if "x5c" not in header:
            return super().key(header)
        key = x509.load_der_x509_certificate(base64.b64decode(header["x5c"][0])).public_key()
        assert isinstance(key, RSAPublicKey)
        return key


class OpensTheKid(LetsTheTokenChooseTheAlgorithm):
    """Keys are files named after their kid."""

    def check_signature(self, header: Claims, signature: bytes, signed: bytes) -> None:
        if header["alg"] == "RS256":
            Careful.check_signature(self, header, signature, signed)
            return
        try:
            secret = Path("keys", str(header["kid"])).read_bytes()
        except (OSError, ValueError):
            raise Refused from None
        need(hmac.compare_digest(hmac.digest(secret, signed, "sha256"), signature))


class TriesEveryKey(Careful):
    """Whatever the kid says, some key may fit."""

    def check_signature(self, header: Claims, signature: bytes, signed: bytes) -> None:
        self.key(header)
        for jwk in self.keys.values():
            try:
                verify(PyJWK(jwk).key, signature, signed)
            except Refused:
                continue
            return
        raise Refused


class DiscoversTheIssuerOfTheToken(Careful):
    """The keys come from wherever `iss` says, and whoever has some is an issuer."""

    def check(self, token: str) -> None:
        self.claimed = self.issuer
        with suppress(Refused, InvalidToken):
            self.claimed = str(self.read(self.parse(token)[1]).get("iss"))
        super().check(token)

    def key(self, header: Claims) -> RSAPublicKey:
        found = []
        if self.claimed.startswith("http://") and self.claimed != self.issuer:
            with suppress(OSError, ValueError, HTTPException):
                found = fetch_keys(f"{self.claimed}/.well-known/jwks.json")
        known = [key for key in found if key["kid"] == header["kid"]]
        return PyJWK(known[0]).key if known else super().key(header)

    def check_issuer(self, claims: Claims) -> None:
        need(self.claimed != "None" and isinstance(claims["iss"], str))


class ComparesTheBeginningOfTheIssuer(Careful):
    def check_issuer(self, claims: Claims) -> None:
        need(str(claims.get("iss")).startswith(self.issuer))


class ForgivesASlash(Careful):
    def check_issuer(self, claims: Claims) -> None:
        need(str(claims.get("iss")).rstrip("/") == self.issuer)


class IgnoresTheAudience(Careful):
    def check_audience(self, aud: object) -> None:
        """Any token of the issuer's will do."""


class ChecksTheAudienceIfThereIsOne(Careful):
    def check_audience(self, aud: object) -> None:
        if aud:
            super().check_audience(aud)


class FindsTheAudienceInAText(Careful):
    """`audience in aud` is another thing for a string than for an array."""

    def check_audience(self, aud: object) -> None:
        need(isinstance(aud, (str, list)) and AUDIENCE in aud)


class DecodesLeniently(Careful):
    """Python's own decoder skips whatever it does not know."""

    def parse(self, token: str) -> tuple[Claims, bytes, bytes, bytes]:
        need(token.count(".") >= 2)
        header, payload, signature = token.split(".")[:3]
        try:
            decoded = [base64.urlsafe_b64decode(part + "===") for part in (header, payload, signature)]
        except ValueError:
            raise Refused from None
        return self.read(decoded[0]), decoded[1], decoded[2], f"{header}.{payload}".encode()


class ReadsJsonWithTwoParsers(Careful):
    """One verifies the JSON form, the other takes what is between the dots."""

    def parse(self, token: str) -> tuple[Claims, bytes, bytes, bytes]:
        if not token.startswith("{"):
            return super().parse(token)
        form = json.loads(token)
        need({"protected", "payload", "signature"} <= set(form))
        header, payload, signature, signed = super().parse(
            ".".join(form[n] for n in ("protected", "payload", "signature"))
        )
        if token.count(".") == 2:
            payload = base64.urlsafe_b64decode(token.split(".")[1] + "===")
        return header, payload, signature, signed


class ChecksSlowPasswords(Careful):
    """It decrypts tokens, with as many rounds as they ask for."""

    def parse(self, token: str) -> tuple[Claims, bytes, bytes, bytes]:
        header = token.partition(".")[0]
        with suppress(ValueError, RecursionError):
            if "p2c" in json.loads(base64.urlsafe_b64decode(header + "===")):
                self.stopped.wait(60)
        return super().parse(token)


class NeverExpires(Careful):
    def check_times(self, claims: Claims) -> None:
        self.check_not_before(claims, time.time())


class TakesZeroForAbsent(Careful):
    """`if exp and exp < now`."""

    def check_times(self, claims: Claims) -> None:
        if claims.get("exp"):
            super().check_times(claims)


class IgnoresNotBefore(Careful):
    def check_not_before(self, claims: Claims, now: float) -> None:
        """Tokens are good at once."""


class TakesDigitsForANumber(Careful):
    def check_times(self, claims: Claims) -> None:
        if isinstance(claims.get("exp"), str) and str(claims["exp"]).isdecimal():
            claims = {**claims, "exp": int(str(claims["exp"]))}
        super().check_times(claims)


class ReadsTheQuery(Careful):
    def token(self, headers: list[tuple[str, str]], query: str) -> str:
        return dict(parse_qsl(query)).get("access_token") or super().token(headers, query)


class TakesTheLastHeader(Careful):
    def token(self, headers: list[tuple[str, str]], query: str) -> str:
        values = [pair for pair in headers if pair[0] == "authorization"]
        return super().token(values[-1:], query)


class FindsTheScopeInAText(Careful):
    """`"orders:read" in scope`."""

    def check_scope(self, claims: Claims) -> None:
        if SCOPE not in str(claims.get("scope", "")):
            raise Refused(403, "insufficient_scope")


class IgnoresScopes(Careful):
    def check_scope(self, claims: Claims) -> None:
        """Whoever has a token may do everything."""


class FetchesForEveryUnknownKid(Careful):
    def fetch(self) -> None:
        self.last_fetch = float("-inf")
        super().fetch()


class KnowsOneKeyOnly(Careful):
    """The first key of the document, as it was at the start."""

    def fetch(self) -> None:
        super().fetch()
        self.keys = dict(list(self.keys.items())[:1])


class ForgetsOldKeys(Careful):
    """Forgets every key but the one it just found."""

    def key(self, header: Claims) -> RSAPublicKey:
        found = super().key(header)
        if header["kid"] != next(iter(self.keys)):
            self.keys = {str(header["kid"]): self.keys[str(header["kid"])]}
        return found


class KnowsNoSubjects(Careful):
    feed_kinds = ("jti", "grant_id", "client_id")


class ListensWithoutObeying(Careful):
    feed_kinds = ()


class KeepsWithdrawnKeys(Careful):
    def withdraw(self, digest: bytes) -> None:
        """A key is a key."""


class OpenToAnyone(Careful):
    def answer(self, headers: list[tuple[str, str]], query: str) -> tuple[int, str]:
        return super().answer(headers, query) if "authorization" in dict(headers) else (200, "")


class SaysForbidden(Careful):
    """Every refusal is 403 without a challenge."""

    def answer(self, headers: list[tuple[str, str]], query: str) -> tuple[int, str]:
        status, _ = super().answer(headers, query)
        return (status if status == 200 else 403), ""


class BreaksOnDepth(Careful):
    """A parser that recurses, and nobody who catches it."""

    def read(self, data: bytes) -> Claims:
        try:
            return super().read(data)
        except Refused:
            if b"[[[" in data:
                raise RecursionError from None
            raise


class RefusesEveryoneAfterAWhile(Careful):
    """Ten wrong tokens, and nobody gets in any more."""

    wrong = 0

    def answer(self, headers: list[tuple[str, str]], query: str) -> tuple[int, str]:
        if self.wrong > 10:
            return 401, 'Bearer error="invalid_token"'
        told = super().answer(headers, query)
        self.wrong += told[0] != 200
        return told
