"""What an operator keeps of a stolen key, or of a drill: what was done when, who acknowledged it, and who held its tokens."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from identity.administration.key_compromise import Exposure, Withdrawal
from identity.feed.verifiers import Acknowledgement
from identity.tokens.issued import HOUR, Holder, IssuedTokens

_TITLE = "# Withdrawn signing keys"
_EXACT = "Exact, for sessions that lived while the keys were being withdrawn: each remembers which key signed its last token."
_AGGREGATED = (
    "Aggregated: servers count in memory, by whole hours (UTC), and write it down once a second. One that was killed has"
    " lost a second of it, and losing Redis's data loses all. Tokens of sessions are among them."
)


@dataclass(frozen=True, slots=True)
class CompromiseReport:
    """All of it. `began_at` is in Unix seconds; `token_horizon` is how many seconds a token may be accepted after it was
    signed; every other time is in seconds since the beginning, those of verifiers since the rule was committed."""

    actor: str
    began_at: float
    withdrawal: Withdrawal
    exposure: Exposure
    acknowledgement: Acknowledgement
    token_horizon: float

    def as_json(self) -> str:
        """Returns everything, for programs."""
        state = self.acknowledgement
        document = {
            "began_at": _moment(self.began_at),
            "actor": self.actor,
            "withdrawn": list(self.withdrawal.kids),
            "signing": self.withdrawal.keyring.current.kid,
            "signing_by_algorithm": self._signing(),
            "reached_servers": self.withdrawal.reached_servers,
            "steps": [{"what": step.what, "seconds": round(step.seconds, 3)} for step in self.withdrawal.steps],
            "verifiers": {
                "acknowledged": {name: round(seconds, 3) for name, seconds in sorted(state.moments.items())},
                "late": [each.name for each in state.late],
            },
            "sessions": {
                "precision": "exact",
                "holders": [{**holder._asdict(), "sessions": count} for holder, count in self._sessions()],
            },
            "tokens": {
                "precision": "aggregated by hour",
                "hours": [
                    {"kid": each.kid, **each.holder._asdict(), "hour": _moment(each.hour), "tokens": each.tokens}
                    for each in self.exposure.tokens
                ],
            },
        }
        return json.dumps(document, indent=2) + "\n"

    def as_markdown(self) -> str:
        """Returns everything but the single hours, for people."""
        return "\n".join(self._paragraphs()) + "\n"

    def _paragraphs(self) -> Iterator[str]:
        kids = ", ".join(f"`{kid}`" for kid in self.withdrawal.kids)
        yield f"{_TITLE}\n\n{kids}, withdrawn by {self.actor} at {_moment(self.began_at)}."
        yield from (f"`{kid}` signs now ({algorithm})." for algorithm, kid in self._signing().items())
        yield "\n## What was done\n"
        yield from _table(("step", "after"), ((step.what, f"{step.seconds:.2f} s") for step in self.withdrawal.steps))
        yield f"\n## Who has heard of it\n\nThe rule was {self.acknowledgement}.\n"
        moments = sorted(self.acknowledgement.moments.items(), key=lambda each: each[1])
        acknowledged = [(name, f"{seconds:.2f} s") for name, seconds in moments]
        late = [
            (each.name, f"**not** within {self.acknowledgement.seconds:.1f} s") for each in self.acknowledgement.late
        ]
        yield from _table(("verifier", "after"), acknowledged + late)
        yield f"\n## Sessions whose last token was signed by them\n\n{_EXACT}\n"
        yield from _table(("client", "resource", "sessions"), ((*holder, f"{n:,}") for holder, n in self._sessions()))
        yield f"\n## Tokens they signed within the last week\n\n{_AGGREGATED}\n"
        yield from _table(("client", "resource", "tokens", "of these perhaps alive", "from", "to"), self._tokens())

    def _signing(self) -> dict[str, str]:
        return {algorithm: record.kid for algorithm, record in self.withdrawal.keyring.currents.items()}

    def _sessions(self) -> list[tuple[Holder, int]]:
        return sorted(self.exposure.sessions.items(), key=lambda each: (-each[1], each[0]))

    def _tokens(self) -> Iterator[tuple[str, ...]]:
        by_holder: dict[Holder, list[IssuedTokens]] = {}
        for each in self.exposure.tokens:
            by_holder.setdefault(each.holder, []).append(each)
        for holder, hours in sorted(by_holder.items()):
            everything = sum(each.tokens for each in hours)
            # The hours are whole ones: nothing that may be alive is missing, and some of it is dead.
            alive = sum(each.tokens for each in hours if each.hour + HOUR > self.began_at - self.token_horizon)
            first, last = min(each.hour for each in hours), max(each.hour for each in hours) + HOUR
            yield (*holder, f"{everything:,}", f"{alive:,}", _moment(first), _moment(last))


def _table(header: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> Iterator[str]:
    lines = [" | ".join(row) for row in rows]
    if not lines:
        yield "None."
        return
    yield f"| {' | '.join(header)} |"
    yield f"|{'---|' * len(header)}"
    yield from (f"| {line} |" for line in lines)


def _moment(seconds: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))
