"""What docs/clients.md has people copy agrees with the server, and what is installed to try it is what was looked at."""

from __future__ import annotations

from pathlib import Path

import pytest
from client_pages import ISSUER, Section, sections

from identity.oauth.metadata import metadata

HERE = Path(__file__).parent
PAGE = sections("clients.md")
KINDS = {"oidc-client-ts": "js", "Auth.js": "js", "Spring": "yaml", "oauth2-proxy": "ini", "Apache": "apache"}
CLIENTS = [pytest.param(section, id=title.partition(",")[0]) for title, section in PAGE.items() if section.blocks("sh")]
DOCUMENT = metadata(ISSUER, ["authorization_code", "refresh_token"], [])


def section_of(name: str) -> Section:
    (found,) = (section for title, section in PAGE.items() if title.startswith(name))
    return found
