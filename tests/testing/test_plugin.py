"""The plugin as a service's developer meets it: the page's example, in a pytest of its own."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def example() -> str:
    """Returns the example of docs/testing.md."""
    page = (ROOT / "docs/testing.md").read_text(encoding="utf-8")
    (found,) = re.findall(r"<!-- tested -->\n```python\n(.*?)^```$", page, re.S | re.M)
    return found


def run_pytest(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    others = ("-p", "no:cacheprovider", "-p", "no:asyncio", "-p", "no:hypothesispytest")
    command = [sys.executable, "-m", "pytest", "-W", "error", *others, *arguments]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=120)


def test_the_example_of_the_page_passes(tmp_path):
    (tmp_path / "test_orders.py").write_text(example())
    done = run_pytest(tmp_path, "-q")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 passed" in done.stdout


def test_the_fixtures_explain_themselves(tmp_path):
    told = run_pytest(tmp_path, "--fixtures").stdout
    for name in ("identity_audience", "identity_issuer", "identity_bearer", "identity_dpop"):
        assert re.search(rf"^{name} -- .*\n    \S", told, re.M), name


def test_a_run_that_needs_no_issuer_loads_none(tmp_path):
    """The plugin costs an import of pytest, which is there already."""
    (tmp_path / "test_light.py").write_text(
        "import sys\n\ndef test_light():\n"
        "    assert 'identity.testing.plugin' in sys.modules\n"
        "    assert not {'identity.testing.issuer', 'identity.verifier', 'http.server'} & set(sys.modules)\n"
    )
    done = run_pytest(tmp_path, "-q")
    assert done.returncode == 0, done.stdout + done.stderr
