"""A client and a browser that do whatever comes next: nothing is good twice, and nothing outlives what it rests on."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit

from background_issuer import BackgroundIssuer
from browser import CALLBACK, CLIENT, Flow
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, multiple, rule, run_state_machine_as_test
from lengths import Length, both_lengths
from rfc_oracle import is_address, read_page

WRONG = {"code_verifier": "w" * 43, "redirect_uri": "http://127.0.0.1:54321/other", "client_id": "shop"}
_WRONG_VERIFIERS = 3


@dataclass
class Session:
    """What a code gave: what a client has of it, and whether it is over."""

    refresh: list[str] = field(default_factory=list)
    access: list[str] = field(default_factory=list)
    id_token: str = ""
    login: int = 0
    is_over: bool = False


@dataclass
class Code:
    """A code as the client knows it."""

    flow: Flow
    value: str
    login: int
    wrong_verifiers: int = 0
    session: Session | None = None


@dataclass(frozen=True)
class Asked:
    """An authorization request, where it led the browser, and under which login."""

    flow: Flow
    location: str
    login: int


class SignIn(RuleBasedStateMachine):
    """One browser, one client, one person; `login` counts the logins, so that it is known what each thing rests on."""

    server: BackgroundIssuer
    came: Counter[str]
    requests = Bundle("requests")
    logins = Bundle("logins")
    consents = Bundle("consents")
    codes = Bundle("codes")
    sessions = Bundle("sessions")

    def __init__(self) -> None:
        super().__init__()
        self.browser, self.program = self.server.browser(), self.server.browser()
        self.login = 0
        self.is_logged_in = False
        self.ended: set[int] = set()
        self.all: list[Session] = []

    def teardown(self) -> None:
        self.browser.close()
        self.program.close()

    # --- The browser -------------------------------------------------------------------------------------------------

    @rule(target=requests, prompt=st.sampled_from([None, "consent", "none"]), max_age=st.sampled_from([None, "86400"]))
    def authorize(self, prompt: str | None, max_age: str | None) -> Asked:
        """A client sends the browser; where it goes is kept for a later step."""
        flow = Flow()
        asked = flow.parameters(prompt=prompt, max_age=max_age, state="s")
        answer = self.browser.send("GET", "/authorize", params=asked)
        assert answer.status_code == 303
        location = answer.headers["location"]
        if prompt == "none":
            found = self._answer(location)
            assert ("code" in found) <= self.is_logged_in
            assert "code" in found or found["error"] in ("login_required", "consent_required")
        elif not self.is_logged_in:
            assert urlsplit(location).path == "/login"
        return Asked(flow, location, self.login)

    @rule(
        target=requests,
        asked=consumes(requests),
        password=st.sampled_from(["wonderland", "wonderland", "wrong"]),
        again=st.booleans(),
    )
    def log_in(self, asked: Asked, password: str, again: bool) -> Asked:
        """A12: a person fills in the form; a form that was used is good for nothing."""
        if not asked.location.startswith("/login"):
            return asked
        shown = self.browser.send("GET", asked.location)
        assert shown.status_code == 200
        form = {**read_page(shown).fields, "username": "alice", "password": password}
        answer = self.browser.send("POST", "/login", data=form)
        if password == "wrong":
            assert answer.status_code == 403
            return asked
        assert answer.status_code == 303
        self.login, self.is_logged_in = self.login + 1, True
        if again:
            assert self.browser.send("POST", "/login", data=form).status_code == 400
        return Asked(asked.flow, answer.headers["location"], self.login)

    @rule(target=requests, asked=consumes(requests), decision=st.sampled_from(["allow", "allow", "deny"]))
    def consent(self, asked: Asked, decision: str) -> Asked:
        """A12: a person agrees or does not; once, and only who was logged in when it was asked."""
        if not asked.location.startswith("/consent"):
            return asked
        shown = self.browser.send("GET", asked.location)
        is_same = self.is_logged_in and asked.login == self.login
        if shown.status_code != 200:
            assert (shown.status_code, is_same) == (400, False)
            return Asked(asked.flow, "over", asked.login)
        assert is_same
        form = {**read_page(shown).fields, "decision": decision}
        answer = self.browser.send("POST", "/consent", data=form)
        assert answer.status_code == 303
        found = self._answer(answer.headers["location"])
        assert found.get("error", "") == ("access_denied" if decision == "deny" else "")
        assert self.browser.send("POST", "/consent", data=form).status_code == 400
        return Asked(asked.flow, answer.headers["location"], asked.login)

    @rule(target=codes, asked=consumes(requests))
    def come_back(self, asked: Asked) -> Any:
        """The client reads what the browser brought."""
        found = self._answer(asked.location) if asked.location.startswith("http") else {}
        return Code(asked.flow, found["code"], asked.login) if "code" in found else multiple()

    @rule(target=codes)
    def sign_in(self) -> Code:
        """The whole way at once, so that what follows it is seen often."""
        asked = self.authorize(None, None)
        if asked.location.startswith("/login"):
            asked = self.log_in(asked, "wonderland", again=False)
        if asked.location.startswith("/consent"):
            asked = self.consent(asked, "allow")
        return Code(asked.flow, self._answer(asked.location)["code"], asked.login)

    @rule(target=sessions)
    def open_session(self) -> Any:
        """A session and one refresh."""
        session = self.redeem(self.sign_in())
        self.refresh(session)
        return session

    def _answer(self, location: str) -> dict[str, str]:
        address, _, query = location.partition("?")
        assert is_address(address, "http://127.0.0.1/callback")
        found = {name: value for name, (value,) in parse_qs(query, strict_parsing=True).items()}
        assert ("code" in found) != ("error" in found)
        return found

    # --- The client --------------------------------------------------------------------------------------------------

    def _token(self, **form: str) -> Any:
        return self.program.send("POST", "/token", data=form)

    def _redeem(self, code: Code, **changes: str) -> Any:
        right = {"code_verifier": code.flow.verifier, "redirect_uri": CALLBACK, "client_id": CLIENT}
        return self._token(grant_type="authorization_code", code=code.value, **{**right, **changes})

    @rule(code=codes, name=st.sampled_from(sorted(WRONG)))
    def redeem_wrongly(self, code: Code, name: str) -> None:
        """A22, A23: whoever has the code alone gets nothing."""
        answer = self._redeem(code, **{name: WRONG[name]})
        assert (answer.status_code, answer.json()["error"]) == (400, "invalid_grant")
        code.wrong_verifiers += name == "code_verifier"

    @rule(target=sessions, code=codes)
    def redeem(self, code: Code) -> Any:
        """A20, A21: at most one success; a second ends what the first gave."""
        answer = self._redeem(code)
        if answer.status_code != 200:
            assert (answer.status_code, answer.json()["error"]) == (400, "invalid_grant")
            self._account_for_refusal(code)
            return multiple()
        assert code.session is None, "a code was good twice"
        assert code.wrong_verifiers < _WRONG_VERIFIERS
        assert not self._has_ended(code.login)
        self.came["redeemed"] += 1
        body = answer.json()
        code.session = Session([body["refresh_token"]], [body["access_token"]], body["id_token"], code.login)
        self.all.append(code.session)
        return code.session

    def _account_for_refusal(self, code: Code) -> None:
        if code.session is not None:
            self.came["redeemed again"] += 1
            code.session.is_over = True
            self._is_dead(code.session)
        else:
            assert code.wrong_verifiers or self._has_ended(code.login), "a good code was refused"

    @rule(session=sessions)
    def refresh(self, session: Session) -> None:
        """A45: the newest is good while the session is."""
        answer = self._token(grant_type="refresh_token", refresh_token=session.refresh[-1], client_id=CLIENT)
        assert (answer.status_code == 200) != self._is_over(session), answer.text
        if answer.status_code == 200:
            self.came["refreshed"] += 1
            session.refresh.append(answer.json()["refresh_token"])
            session.access.append(answer.json()["access_token"])

    @rule(session=sessions)
    def replay(self, session: Session) -> None:
        """A45: one that was exchanged ends the session."""
        if len(session.refresh) > 1:
            answer = self._token(grant_type="refresh_token", refresh_token=session.refresh[-2], client_id=CLIENT)
            assert (answer.status_code, answer.json()["error"]) == (400, "invalid_grant")
            self.came["replayed"] += 1
            session.is_over = True
            self._is_dead(session)

    @rule(session=sessions)
    def revoke(self, session: Session) -> None:
        """A55: the refresh token takes the access tokens along; revoking is good twice."""
        for _ in range(2):
            form = {"token": session.refresh[-1], "client_id": CLIENT}
            assert self.program.send("POST", "/revoke", data=form).status_code == 200
        session.is_over = True
        self._is_dead(session)

    @rule(session=sessions)
    def user_info(self, session: Session) -> None:
        """Every access token of a session is as good as the session."""
        for access in session.access:
            answer = self.program.send("GET", "/userinfo", headers={"Authorization": f"Bearer {access}"})
            assert answer.status_code == (401 if self._is_over(session) else 200), answer.text

    # --- The end -----------------------------------------------------------------------------------------------------

    @rule(session=sessions)
    def log_out(self, session: Session) -> None:
        """A57: the browser's login ends if the ID token is of it, and is asked about if it is of another; all that descends
        from a login that ended is over."""
        answer = self.browser.send("GET", "/logout", params={"id_token_hint": session.id_token})
        assert answer.status_code == 200
        page = read_page(answer)
        if page.all("form"):
            assert self.browser.send("POST", "/logout/confirm", data=page.fields).status_code == 200
        self._ended_now()

    @rule()
    def log_out_by_hand(self) -> None:
        page = read_page(self.browser.send("GET", "/logout"))
        assert bool(page.all("form")) == self.is_logged_in
        if page.all("form"):
            assert self.browser.send("POST", "/logout/confirm", data=page.fields).status_code == 200
            self._ended_now()

    def _ended_now(self) -> None:
        if self.is_logged_in:
            self.ended.add(self.login)
        self.is_logged_in = False
        self.server.wait_for(self.server.issuer.settled())
        for session in self.all:
            if self._is_over(session):
                self.came["logged out of"] += 1
                self._is_dead(session)

    def _has_ended(self, login: int) -> bool:
        return login in self.ended

    def _is_over(self, session: Session) -> bool:
        return session.is_over or self._has_ended(session.login)

    def _is_dead(self, session: Session) -> None:
        """Nothing of it is good for anything."""
        self.server.wait_for(self.server.issuer.settled())
        for access in session.access:
            answer = self.program.send("GET", "/userinfo", headers={"Authorization": f"Bearer {access}"})
            assert answer.status_code == 401
        answer = self._token(grant_type="refresh_token", refresh_token=session.refresh[-1], client_id=CLIENT)
        assert (answer.status_code, answer.json()["error"]) == (400, "invalid_grant")


@both_lengths
def test_nothing_is_good_twice_and_nothing_outlives_what_it_rests_on(server: BackgroundIssuer, length: Length) -> None:
    """A12, A20, A21, A22, A23, A45, A55, A57: a used code never gives tokens again, and after a replay those it gave are dead;
    nothing works after a logout."""
    came = Counter[str]()
    machine = type("SignInHere", (SignIn,), {"server": server, "came": came})
    run_state_machine_as_test(machine, settings=settings(length(8), stateful_step_count=30))
    assert set(came) == {"redeemed", "redeemed again", "refreshed", "replayed", "logged out of"}, came
