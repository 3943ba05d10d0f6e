"""Debian's Apache as one process group on a free port, with mod_auth_openidc and the settings of a page."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import urlopen

from dev_process import wait_until

_MODULES = ("mpm_event", "authn_core", "authz_core", "authz_user", "headers", "auth_openidc")
_AROUND = """
ServerRoot {folder}
ServerName 127.0.0.1
Listen 127.0.0.1:{port}
PidFile {folder}/pid
ErrorLog {folder}/error.log
DefaultRuntimeDir {folder}
DocumentRoot {folder}/pages
{modules}
Header always set X-Seen-Name "%{{OIDC_CLAIM_preferred_username}}e"
Header always set X-Seen-User "expr=%{{REMOTE_USER}}"
Include {folder}/site.conf
"""


@contextmanager
def apache(folder: Path, port: int, settings: str, **environment: str) -> Iterator[None]:
    """Runs it; its pages are `/index.html` and `/bye`."""
    program = shutil.which("apache2", path=f"{os.environ['PATH']}:/usr/sbin")
    assert program, "install Debian's libapache2-mod-auth-openidc to run the tests marked foreign"
    (folder / "pages").mkdir()
    (folder / "pages/index.html").write_text("Only for people who signed in.")
    (folder / "pages/bye").write_text("Signed out.")
    (folder / "site.conf").write_text(settings)
    loaded = "\n".join(f"LoadModule {name}_module /usr/lib/apache2/modules/mod_{name}.so" for name in _MODULES)
    (folder / "apache.conf").write_text(_AROUND.format(folder=folder, port=port, modules=loaded))
    with (folder / "output.txt").open("wb") as output:
        process = subprocess.Popen(
            [program, "-f", str(folder / "apache.conf"), "-DFOREGROUND"],
            env={"PATH": os.environ["PATH"], **environment},
            stdout=output,
            stderr=output,
        )
    try:
        wait_until(lambda: process.poll() is not None or _answers(port), 10)
        assert process.poll() is None, (folder / "output.txt").read_text()
        yield
    finally:
        process.terminate()
        process.wait(10)


def _answers(port: int) -> bool:
    try:
        urlopen(f"http://127.0.0.1:{port}/bye", timeout=1).close()
    except HTTPError:
        return True
    except OSError:
        return False
    return True
