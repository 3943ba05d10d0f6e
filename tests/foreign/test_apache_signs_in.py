"""Apache with mod_auth_openidc and the settings of docs/clients.md lets people in, and out (must show 1)."""

from __future__ import annotations

import re

import pytest
from apache import apache
from client_pages import sections
from dev_process import free_ports
from person import Person

pytestmark = pytest.mark.foreign


def test_a_person_passes_apache_and_signs_out_there(dev, run_command, tmp_path):
    (port,) = free_ports(1)
    app = f"http://127.0.0.1:{port}"
    page = sections("clients.md")["Apache, with mod_auth_openidc"].at(issuer=dev.issuer, app=app)
    secret = run_command(*page.command)["client_secret"]
    (settings,) = page.blocks("apache")
    person = Person(dev.issuer)
    with apache(tmp_path, port, settings, INTRANET_SECRET=secret, INTRANET_COOKIE_KEY="k" * 32):
        seen = person.visit(f"{app}/index.html")
        assert (seen.url, seen.text) == (f"{app}/index.html", "Only for people who signed in.")
        assert seen.headers["X-Seen-Name"] == "alice"
        assert re.fullmatch("[0-9a-f]{26}", seen.headers["X-Seen-User"]), "its subject"
        out = person.visit(f"{app}/oidc/callback?logout={app}/bye")
        assert (out.url.partition("?")[0], out.text) == (f"{app}/bye", "Signed out.")
        assert person.leads_to_login(f"{app}/index.html"), "nobody is signed in at the issuer either"
