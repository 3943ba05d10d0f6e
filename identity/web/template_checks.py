"""Whether templates of the operator's still make the pages that people, and programs that test, rely on (P01).

Each page is made with values like those it will be given, and read as a browser reads it: a name in a comment, or a form
that is closed too early, deceives nobody.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Any

from jinja2 import Environment, TemplateNotFound, TemplateSyntaxError

Attributes = Mapping[str, str]

_SILENT = frozenset({"title", "script", "style"})
"""What stands in these is on no page."""

_ELSEWHERE = re.compile(r"\s*(?:[a-z][a-z0-9+.-]*:|//)", re.IGNORECASE)
_ACTION = "https://login.example/action"
_RAW = "<unescaped>"
_CLIENT = f"Client {_RAW}"
_PERSON = f"person {_RAW}"
_STRANGER = "https://stranger.example"
_INTERACTION = {"type": "hidden", "name": "interaction", "value": "interaction-1"}
_FORM = {"action": _ACTION, "interaction": _INTERACTION["value"]}


@dataclass(frozen=True, slots=True)
class Example:
    """What a page is given, and what has to be on it then: fields and buttons of its form by their attributes, and words."""

    values: Mapping[str, Any] = field(default_factory=dict)
    inputs: tuple[Attributes, ...] = ()
    buttons: tuple[Attributes, ...] = ()
    words: tuple[str, ...] = ()
    has_script: bool = False

    @property
    def controls(self) -> list[tuple[str, Attributes]]:
        """What the form holds; a page without any sends nothing."""
        return [*(("input", each) for each in self.inputs), *(("button", each) for each in self.buttons)]


def _login(username: str, problem: str) -> Example:
    return Example(
        {**_FORM, "client": _CLIENT, "username": username, "problem": problem},
        inputs=(
            _INTERACTION,
            {"id": "username", "name": "username"},
            {"id": "password", "name": "password", "type": "password"},
        ),
        buttons=({"id": "login-submit"},),
        words=(_CLIENT, problem),
    )


def _logout(client: str) -> Example:
    return Example({**_FORM, "client": client}, (_INTERACTION,), ({"id": "logout-confirm"},), (client,))


def _consent(self_registered: str) -> Example:
    scopes = ["First of all", f"scope:{_RAW}"]
    return Example(
        {**_FORM, "client": _CLIENT, "username": _PERSON, "scopes": scopes, "self_registered": self_registered},
        inputs=(_INTERACTION,),
        buttons=(
            {"id": "consent-allow", "name": "decision", "value": "allow"},
            {"id": "consent-deny", "name": "decision", "value": "deny"},
        ),
        words=(_CLIENT, _PERSON, *scopes, self_registered),
    )


def _leaving(link: str) -> Example:
    """By a link, or by a form: no button may send anything else, and the address has to be read (A13)."""
    values = {
        "text": f"Text {_RAW}",
        "address": _STRANGER,
        "link": link,
        "action": _ACTION,
        "parameters": {"state": _RAW},
    }
    words = (f"Text {_RAW}", _STRANGER)
    if link:
        return Example(values, words=words)
    return Example(values, ({"type": "hidden", "name": "state", "value": _RAW},), ({"id": "leave"},), words)


EXAMPLES: Mapping[str, tuple[Example, ...]] = {
    "login.html": (_login("", ""), _login(_PERSON, f"That was wrong {_RAW}.")),
    "consent.html": (_consent(""), _consent(_STRANGER)),
    "leaving.html": (_leaving(link=f"{_ACTION}?error=x"), _leaving(link="")),
    "logout.html": (_logout(""), _logout(_CLIENT)),
    "signed_out.html": (Example(),),
    "error.html": (
        Example({"heading": "Heading", "text": f"Text {_RAW}", "hint": "Hint"}, words=("Heading", f"Text {_RAW}")),
    ),
    "form_post.html": (
        Example(
            {"action": _ACTION, "parameters": {"code": "c", "state": _RAW}, "script": "document.forms[0].submit()"},
            inputs=(
                {"type": "hidden", "name": "code", "value": "c"},
                {"type": "hidden", "name": "state", "value": _RAW},
            ),
            buttons=({"id": "continue"},),
            has_script=True,
        ),
    ),
}
"""By template; what has no example here is only compiled."""


def problems_of(templates: Environment, names: Iterable[str]) -> list[str]:
    """Returns one sentence for each thing that is wrong with these templates."""
    found = (f"{name} {problem}" for name in sorted(names) for problem in _problems(templates, name))
    return list(dict.fromkeys(found))


def _problems(templates: Environment, name: str) -> Iterator[str]:
    try:
        template = templates.get_template(name)
        for example in EXAMPLES.get(name, ()):
            yield from _problems_on(template.render(**example.values), example)
    except TemplateSyntaxError as error:
        where = "" if error.name == name else f"uses {error.name}, which "
        yield f"{where}does not compile: line {error.lineno}: {error.message}"
    except TemplateNotFound as error:
        yield f"uses {error.name}, which is not there"
    except Exception as error:  # A template is a program: anything may go wrong in it.
        yield f"cannot be shown: {error}"


def _problems_on(html: str, example: Example) -> Iterator[str]:
    page = _Page()
    page.feed(html)
    page.close()
    if _RAW in html:
        yield "shows a value without escaping it"
    yield from page.forbidden(example.has_script)
    if example.controls and not page.sends:
        yield 'has no <form method="post" action="{{ action }}">'
    else:
        for tag, wanted in example.controls:
            if not any(_holds(found, wanted) for found in page.controls_of(tag)):
                yield f"has no {_written(tag, wanted)} in its form"
    said = " ".join("".join(page.text).split())
    for words in example.words:
        if words not in said:
            yield f"does not show {words.replace(_RAW, '').strip()!r}, which it was given"


def _holds(found: Attributes, wanted: Attributes) -> bool:
    return all(found.get(name) == value for name, value in wanted.items())


def _written(tag: str, attributes: Attributes) -> str:
    """The value of a hidden field is ours, and would tell the operator nothing."""
    shown = {name: "..." if (tag, name) == ("input", "value") else value for name, value in attributes.items()}
    return " ".join((f"<{tag}", *(f'{name}="{value}"' for name, value in shown.items()))) + ">"


class _Page(HTMLParser):
    """What a browser finds: controls of the form that leads to the given address, words, and what the policy forbids."""

    def __init__(self) -> None:
        super().__init__()
        self.sends = False
        self.text: list[str] = []
        self._controls: list[tuple[str, Attributes]] = []
        self._found: list[tuple[str, Attributes]] = []
        self._inside = self._silent = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {name: value or "" for name, value in attrs}
        self._found.append((tag, found))
        if tag == "form":
            self._inside = found.get("method", "").lower() == "post" and found.get("action") == _ACTION
            self.sends = self.sends or self._inside
        elif self._inside:
            self._controls.append((tag, found))
        self._silent = self._silent or tag in _SILENT

    def handle_endtag(self, tag: str) -> None:
        if tag == "form":
            self._inside = False
        self._silent = self._silent and tag not in _SILENT

    def handle_data(self, data: str) -> None:
        if not self._silent:
            self.text.append(data)

    def controls_of(self, tag: str) -> Iterator[Attributes]:
        """Fields, or the buttons that send the form."""
        for each, found in self._controls:
            if each == tag and (tag != "button" or found.get("type", "submit") == "submit"):
                yield found

    def forbidden(self, may_have_script: bool) -> Iterator[str]:
        """What would be there, and not work: the Content-Security-Policy of the pages lets nothing in (A10)."""
        for tag, found in self._found:
            if tag == "style" or (tag == "script" and not may_have_script):
                yield f"has a <{tag}>, which the pages' policy blocks"
            for name, value in found.items():
                if name == "style" or name.startswith("on"):
                    yield f"has the attribute {name}, which the pages' policy blocks"
                if tag != "a" and name in ("src", "href", "srcset") and _ELSEWHERE.match(value):
                    yield f"loads {value}, which the pages' policy blocks"
