"""Measures the code flow against npm's oidc-provider: 50 people at once who sign in, or who have signed in; ID tokens; growth.

Both do the same work on the same core: an app of the house (nobody is asked for consent), S256, a code that is good once, RS256
access and ID tokens, a rotating refresh token. What is not the same says `README.md`.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

from benchmarks import flow_id_tokens
from benchmarks.flow_sites import OPENID, Site, peer_site, register, site
from benchmarks.identity_server import IdentityServer
from benchmarks.peer import WARM_UP_SECONDS
from benchmarks.processes import Load
from benchmarks.rounds import Ratio, interleave
from benchmarks.table import Row, Target, megabytes, milliseconds, percent, times

_FEW, _MANY = 10, 10_000
_PORTS = {"peer": 18720, "light": 18721, "many": 18722, "peer of many": 18723}
_SIGN_IN_SECONDS = 3.0
"""A flow with a password is 20 ms of a core: in less time its p99 would be the luck of one."""

_AHEAD, _SOONER = Target(1.0, 1.5, times), Target(1.0, 0.7, times, less_is_better=True)
_GROWTH = Target(1.5, 1.1, times, less_is_better=True)


def measure(identity: IdentityServer, rounds: int, seconds: float) -> list[Row]:
    """Returns the rows; where the peer cannot run, those of ours alone."""
    with _sites(identity) as sites:
        rows = _sign_in(sites, rounds, max(seconds, _SIGN_IN_SECONDS))
        _warm_up(sites)
        rows += flow_id_tokens.measure(identity, sites, rounds)
        return rows + _with_session(sites, rounds, seconds)


@contextmanager
def _sites(identity: IdentityServer) -> Iterator[dict[str, Site]]:
    """Starts what is compared, all on the server core: those that are not asked use next to nothing of it."""
    with ExitStack() as stack:
        folder = Path(identity.options.data_dir) / "many-clients"
        folder.mkdir()
        many = stack.enter_context(IdentityServer(folder, _PORTS["many"]))
        register(identity, _FEW)
        register(many, _MANY)
        light = identity.start_process(_PORTS["light"], "benchmarks.light_hashing")
        stack.callback(light.stop)
        sites = {"ours": site(identity.server, _FEW), "light": site(light, _FEW), "many": site(many.server, _MANY)}
        try:
            for name, where, clients in (("peer", identity, _FEW), ("peer of many", many, _MANY)):
                sites[name] = peer_site(where, _PORTS[name], clients)
                stack.callback(sites[name].server.stop)
        except (OSError, subprocess.SubprocessError, RuntimeError) as error:
            print(f"no oidc-provider: {error}", file=sys.stderr, flush=True)
        yield sites


def _sign_in(sites: dict[str, Site], rounds: int, seconds: float) -> list[Row]:
    """What a person without a session waits for, and how much of it is the password."""
    variants = {name: partial(each.sign_in, seconds, "alice") for name, each in _those(sites, "ours", "peer")}
    variants["light"] = partial(sites["light"].sign_in, seconds, "quick")
    sites["light"].sign_in(1, "quick")
    if "peer" in sites:
        variants["light peer"] = partial(sites["peer"].sign_in, seconds, "quick")
        sites["peer"].sign_in(WARM_UP_SECONDS, "quick")
    found = interleave(rounds, variants)
    shares = [1 - each.cpu_each / whole.cpu_each for each, whole in zip(found["light"], found["ours"], strict=True)]
    name = "sign-in with a password, 50 at once"
    versions = sites["peer"].versions if "peer" in sites else ""
    return [
        *_against(name, found["ours"], found.get("peer"), f"; {versions}; argon2id m=19456,t=2,p=1 at both"),
        *_against(f"{name}, without the hash", found["light"], found.get("light peer"), "; argon2id m=8,t=1,p=1"),
        Row("share of argon2 in such a sign-in", Target(0.8, 0.9, percent), Ratio.around(shares), _each(found["ours"])),
    ]


def _with_session(sites: dict[str, Site], rounds: int, seconds: float) -> list[Row]:
    """What a person who is logged in waits for; and what very many clients change. Each flow is of any client, and every
    client was met once before, as by a server that has run for a while."""
    first = {name: _meet_all(each) for name, each in _those(sites, "many", "peer of many")}
    _warm_up(sites)
    among = _those(sites, "ours", "many", "peer", "peer of many")
    found = interleave(rounds, {name: partial(each.flow, seconds) for name, each in among})
    rows = _against("code flow with a session, 50 at once", found["ours"], found.get("peer"))
    for few, many, whose in (("ours", "many", ""), ("peer", "peer of many", "oidc-provider: ")):
        if many in found:
            rows.append(_growth_row(whose, found[many], found[few], first[many]))
            rows.append(_memory_row(whose, sites[many], sites[few]))
    return rows


def _warm_up(sites: dict[str, Site]) -> None:
    """Lets Node compile this path before it is measured: after a minute without it, a flow costs it twice as much."""
    for _, each in _those(sites, "peer", "peer of many"):
        if not each.sessions:
            each.sign_in(2, "quick")
        each.flow(WARM_UP_SECONDS)


def _those(sites: dict[str, Site], *names: str) -> Sequence[tuple[str, Site]]:
    return [(name, sites[name]) for name in names if name in sites]


def _meet_all(many: Site) -> Load:
    """Signs people in, and has them open every client."""
    if not many.sessions:
        many.sign_in(2, "alice")
    return many.codes(many.clients, OPENID, in_turn=True)


def _against(measure: str, ours: list[Load], theirs: list[Load] | None, note: str = "") -> list[Row]:
    """Flows per CPU second, and the p99 of a whole flow by the clock."""
    names = (f"{measure}: flows against oidc-provider", f"{measure}: p99 against oidc-provider")
    if theirs is None:
        alone = f"no peer; {_each(ours)}; {_rate(ours)}; p99 {_p99(ours)}"
        return [Row(names[0], _AHEAD, None, alone), Row(names[1], _SOONER, None, alone)]
    flows = Ratio.of([load.per_cpu_second for load in ours], [load.per_cpu_second for load in theirs])
    p99 = Ratio.of([load.p99 for load in ours], [load.p99 for load in theirs])
    cost = f"{_each(ours)} against {_each(theirs)}; by wall clock {_rate(ours)} against {_rate(theirs)}"
    refused = sum(load.refused for load in (*ours, *theirs))
    return [
        Row(names[0], _AHEAD, flows, cost + note + (f"; {refused} refused" if refused else "")),
        Row(names[1], _SOONER, p99, f"{_p99(ours)} against {_p99(theirs)}"),
    ]


def _growth_row(whose: str, many: list[Load], few: list[Load], first: Load) -> Row:
    ratio = Ratio.of([load.cpu_each for load in many], [load.cpu_each for load in few])
    note = f"{_each(many)} against {_each(few)}; /authorize when a client is first seen: {_each([first])}"
    return Row(f"{whose}the same flow with {_MANY:,} registered clients against {_FEW}", _GROWTH, ratio, note)


def _memory_row(whose: str, many: Site, few: Site) -> Row:
    size, other = many.server.resident_bytes, few.server.resident_bytes
    note = f"{megabytes(size)} against {megabytes(other)}, resident set after load"
    return Row(f"{whose}memory with {_MANY:,} clients against {_FEW}", _GROWTH, Ratio.around([size / other]), note)


def _each(loads: list[Load]) -> str:
    return f"{Ratio.around([load.cpu_each for load in loads]).median * 1e6:,.0f} µs of CPU"


def _rate(loads: list[Load]) -> str:
    return f"{Ratio.around([load.rate for load in loads]).median:.0f}/s"


def _p99(loads: list[Load]) -> str:
    return milliseconds(Ratio.around([load.p99 for load in loads]).median)
