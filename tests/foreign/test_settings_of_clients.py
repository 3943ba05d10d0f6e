"""What docs/clients.md has people copy agrees with the server, and what is installed to try it is what was looked at."""

from __future__ import annotations

import json
import re
import subprocess
import tomllib
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml
from client_pages import APP, ISSUER, Section, page, sections

from identity.oauth.metadata import Enabled, metadata
from identity.oauth.redirect_uris import problem_with

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Settings:
    """What a client is told: who it is, where the issuer is, where it wants its codes, and what it asks for."""

    client_id: str
    issuer: str
    redirect_uri: str
    scope: str


def of_single_page_app(section: Section) -> Settings:
    told = dict(re.findall(r'^  (\w+): "(.*)",$', section.blocks("js")[0], re.M))
    return Settings(told["client_id"], told["authority"], told["redirect_uri"], told["scope"])


def of_auth_js(section: Section) -> Settings:
    """Auth.js makes its redirect URI of the provider's `id`; who it is stands in the environment."""
    code = section.blocks("js")[0]
    (issuer,), (provider,) = re.findall(r'issuer = "(.*)"', code), re.findall(r'\bid: "(\w+)"', code)
    (scope,) = re.findall(r'scope: "(.*?)"', code)
    return Settings("next", issuer, f"{APP}/api/auth/callback/{provider}", scope)


def of_spring(section: Section) -> Settings:
    told = yaml.safe_load(section.blocks("yaml")[0])["spring"]["security"]["oauth2"]["client"]
    ((name, registration),) = told["registration"].items()
    uri = registration["redirect-uri"].replace("{baseUrl}", APP).replace("{registrationId}", name)
    scope = registration["scope"].replace(",", "")
    return Settings(registration["client-id"], told["provider"][name]["issuer-uri"], uri, scope)


def of_oauth2_proxy(section: Section) -> Settings:
    """Its configuration is TOML."""
    told = tomllib.loads(section.blocks("ini")[0])
    assert told["code_challenge_method"] == "S256"
    return Settings(told["client_id"], told["oidc_issuer_url"], told["redirect_url"], told["scope"])


def of_apache(section: Section) -> Settings:
    told = dict(re.findall(r'^(OIDC\w+) "?(.*?)"?$', section.blocks("apache")[0], re.M))
    assert told["OIDCPKCEMethod"] == "S256"
    issuer = told["OIDCProviderMetadataURL"].removesuffix("/.well-known/openid-configuration")
    return Settings(told["OIDCClientID"], issuer, told["OIDCRedirectURI"], told["OIDCScope"])


@pytest.mark.parametrize(
    ("name", "title", "read"),
    [
        ("clients.md", "oidc-client-ts, for a single-page app", of_single_page_app),
        ("clients.md", "Auth.js (NextAuth 5)", of_auth_js),
        ("clients-spring.md", "An app that signs people in", of_spring),
        ("clients.md", "oauth2-proxy", of_oauth2_proxy),
        ("clients.md", "Apache, with mod_auth_openidc", of_apache),
    ],
)
def test_a_client_is_registered_as_its_settings_say(name: str, title: str, read) -> None:
    section = sections(name)[title]
    settings: Settings = read(section)
    assert section.command[:3] == ["clients", "create", settings.client_id]
    assert settings.issuer == ISSUER
    assert section.option("--redirect-uri") == [settings.redirect_uri]
    assert section.option("--scope") == settings.scope.split()
    assert section.option("--grant") == ["authorization_code", "refresh_token"]
    for uri in section.option("--redirect-uri") + section.option("--post-logout-redirect-uri"):
        assert problem_with(uri) == ""


@pytest.mark.parametrize("name", ["clients.md", "clients-spring.md"])
def test_every_address_of_the_issuer_is_one_that_discovery_names(name: str) -> None:
    found = set(re.findall(rf"{re.escape(ISSUER)}[\w/.-]*", page(name).text.replace("${issuer}", ISSUER)))
    known = {
        ISSUER,
        f"{ISSUER}/.well-known/openid-configuration",
        *map(str, metadata(ISSUER, Enabled([], [], [])).values()),
    }
    assert {url.rstrip(".") for url in found} <= known


def test_a_service_of_spring_names_the_issuer_and_itself() -> None:
    (told,) = sections("clients-spring.md")["A service that verifies tokens"].blocks("yaml")
    settings = yaml.safe_load(told)["spring"]["security"]["oauth2"]["resourceserver"]["jwt"]
    assert settings == {"issuer-uri": ISSUER, "audiences": "https://orders.example.com"}


def test_what_npm_installs_is_locked_and_comes_from_wherever_npm_is_told() -> None:
    """Exact versions with their digests, and no address of a registry: a mirror serves as well."""
    lock, wanted = (json.loads((HERE / name).read_text()) for name in ("package-lock.json", "package.json"))
    packages = {name: each for name, each in lock["packages"].items() if name}
    assert all(each["integrity"].startswith("sha512-") and "resolved" not in each for each in packages.values())
    named = {name: packages[f"node_modules/{name}"]["version"] for name in wanted["devDependencies"]}
    assert wanted["devDependencies"] == named, "exact versions"
    assert not any("hasInstallScript" in each for each in packages.values())


def test_no_library_of_npm_can_enter_a_commit() -> None:
    ignored = subprocess.run(["git", "check-ignore", "-q", "node_modules/jose/package.json"], cwd=HERE)
    assert ignored.returncode == 0
