"""A whole run: wait for the service, attack it, and report."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Final

from identity.checking.attacks.attack import CLOSED, Attack
from identity.checking.attacks.table import GROUPS, SCOPES
from identity.checking.bench import Bench, Plan, opened
from identity.checking.findings import Finding, judge
from identity.checking.service import Answer, CannotCheck
from identity.checking.trials import TRIALS, answers

Say = Callable[[str], None]

_PAUSE: Final = 0.1


def check(plan: Plan, say: Say) -> Iterator[Finding]:
    """Yields every finding as it is made, or raises `CannotCheck`. `say` is told what is going on, in sentences."""
    with opened(plan) as bench:
        say(f"The issuer is {bench.issuer.url}; the service must trust it, and call itself {plan.audience}.")
        wait_until_ready(bench, say)
        yield from findings(bench, say)


def wait_until_ready(bench: Bench, say: Say) -> None:
    """Returns once a good token is accepted, or raises `CannotCheck` with what is missing."""
    end = time.monotonic() + bench.plan.patience
    told = ""
    while not (answer := bench.try_token(bench.good_token())).is_success:
        missing = _missing(bench, answer)
        if missing != told:
            say(f"Waiting: {missing}.")
            told = missing
        if time.monotonic() > end:
            raise CannotCheck(missing)
        time.sleep(_PAUSE)


def findings(bench: Bench, say: Say) -> Iterator[Finding]:
    """Yields the findings in the order in which they are made."""
    yield from answers(bench)
    usual = bench.try_token(bench.material().forged()).status
    groups = (*GROUPS, *([("scopes", SCOPES)] if bench.plan.scopes else []))
    for name, attacks in groups:
        say(f"Attacking: {name}.")
        for attack in attacks:
            yield _make(attack, bench, usual)
        yield bench.control(name)
    for trial in TRIALS:
        say(f"Trying: {trial.__name__.replace('_', ' ')}.")
        yield from trial(bench)
    yield bench.control("everything")


def _make(attack: Attack, bench: Bench, usual: int) -> Finding:
    before = bench.elsewhere.visits
    answer = bench.send(attack.request(bench.material()))
    return judge(attack, answer, bench.elsewhere.visits - before, usual)


def _missing(bench: Bench, answer: Answer) -> str:
    """Says why a good token may not be accepted."""
    plan = bench.plan
    if answer.status == CLOSED:
        return f"nothing answers at {plan.url}"
    if not sum(bench.issuer.requests.values()):
        return f"{plan.url} answers {answer}, and has not asked {bench.issuer.url} for keys: it must trust that issuer"
    if answer.status == 503:
        return f"{plan.url} answers 503; it may still be waiting for the keys of {bench.issuer.url}"
    if answer.status == 401:
        said = f" ({answer.challenge})" if answer.challenge else ""
        return f"{plan.url} refuses a good token for {plan.audience} with 401{said}; is --audience its name?"
    if answer.status == 403:
        return f"{plan.url} answers 403; say which scopes it needs with --scope"
    return (
        f"{plan.url} answers {answer} to a good token; it must be an address that answers 2xx to --method {plan.method}"
    )
