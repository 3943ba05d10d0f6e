"""The sections of docs/clients.md and docs/relying-party.md, with the addresses of a test in the place of the documents'."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

DOCS = Path(__file__).parents[2] / "docs"
ISSUER, APP = "https://login.example.com", "https://app.example.com"


@dataclass(frozen=True)
class Section:
    """A part of a page."""

    text: str

    def replaced(self, addresses: dict[str, str]) -> Section:
        """Returns it with other addresses."""
        text = self.text
        for told, here in addresses.items():
            assert told in text, told
            text = text.replace(told, here)
        return Section(text)

    def at(self, issuer: str, app: str) -> Section:
        """Returns it for an issuer and an app of a test."""
        return self.replaced({ISSUER: issuer, APP: app})

    def blocks(self, language: str) -> list[str]:
        return re.findall(rf"^```{language}\n(.*?)^```$", self.text, re.S | re.M)

    @property
    def command(self) -> list[str]:
        """The words of the command that registers the client, after `identity`."""
        return shlex.split(self.blocks("sh")[0].replace("\\\n", " "))[1:]

    def option(self, name: str) -> list[str]:
        """Returns every value of an option of that command."""
        words = self.command
        return [value for word, value in pairwise(words) if word == name]


def page(name: str) -> Section:
    """Returns a page as a whole."""
    return Section((DOCS / name).read_text(encoding="utf-8"))


def sections(name: str) -> dict[str, Section]:
    """Returns the sections of a page, by title."""
    parts = page(name).text.split("\n## ")[1:]
    return {part.partition("\n")[0]: Section(part.partition("\n")[2]) for part in parts}
