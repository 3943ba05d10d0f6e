"""`identity check-resource` as an operator runs it: against the example service as a real process, and what it prints."""

from __future__ import annotations

import json
import os
import re
import shlex
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import services
import typer
from services import AUDIENCE, SCOPE, Careful, serving

from identity.checking import command
from identity.checking.bench import Plan
from identity.checking.command import main
from identity.checking.findings import Finding, Level, Verdict
from identity.checking.report import as_table
from identity.cli.commands import app as programline

ROOT = Path(__file__).parents[2]
IDENTITY = [sys.executable, "-m", "identity.cli.main"]


def documented(issuer_port: int, port: int) -> tuple[dict[str, str], list[str]]:
    """Returns the environment of the example service and the arguments of the check, as docs/check-resource.md has them."""
    page = (ROOT / "docs/check-resource.md").read_text(encoding="utf-8")
    page = page.replace("127.0.0.1:9400", f"127.0.0.1:{issuer_port}").replace("127.0.0.1:8002", f"127.0.0.1:{port}")
    (exports,) = re.findall(r"^ *export (.*)$", page, re.M)
    (command_line,) = re.findall(r"^ *uv run identity (.*)$", page, re.M)
    return dict(pair.split("=", 1) for pair in exports.split()), shlex.split(command_line)


def options(issuer_port: int) -> tuple[str, ...]:
    return ("--audience", AUDIENCE, "--scope", SCOPE, "--issuer-port", str(issuer_port))


@contextmanager
def example_service(port: int, environment: dict[str, str]) -> Iterator[None]:
    """Runs the example service as a process of its own."""
    process = subprocess.Popen(
        [sys.executable, "-m", "resource_example", "--port", str(port)],
        env={**os.environ, **environment},
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield
    finally:
        process.terminate()
        process.wait(10)


def test_nothing_is_found_in_the_example_service(issuer_port):
    """As the page says it: not even a hint, and nothing is left out, because it follows the feed."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    environment, arguments = documented(issuer_port, port)
    with example_service(port, environment):
        program = [*IDENTITY, *arguments, "--issuer-port", str(issuer_port), "--json"]
        done = subprocess.run(program, cwd=ROOT, capture_output=True, text=True, timeout=120)
    findings = json.loads(done.stdout)
    assert [finding for finding in findings if finding["verdict"] != "ok"] == []
    assert done.returncode == 0
    assert len(findings) > 150
    assert set(findings[0]) == {"name", "line", "level", "says", "expected", "got", "verdict"}
    assert f"The issuer is http://127.0.0.1:{issuer_port}" in done.stderr


class Slow(Careful):
    """Takes its time with every answer: 173 checks take half a minute."""

    def check(self, token: str) -> None:
        time.sleep(0.2)
        super().check(token)


def test_a_run_whose_time_is_over_shows_what_it_has_found(issuer_port, capsys):
    """Half a report beats none; the exit code says that it is one."""
    with serving(Slow(f"http://127.0.0.1:{issuer_port}")) as url:
        plan = Plan(url, AUDIENCE, (SCOPE,), "alice", "GET", issuer_port, patience=30, time_limit=-25)
        assert command.run(plan, command.Output(show_all=True)) == 2
    told = capsys.readouterr()
    assert re.search(r"^\d+ checks: ", told.out, re.M)
    assert "not finished" in told.err


def test_what_is_found_is_shown_and_fails_the_run(issuer_port, capsys):
    with serving(services.FindsTheScopeInAText(f"http://127.0.0.1:{issuer_port}")) as url:
        assert main([url, *options(issuer_port)]) == 1
    table = capsys.readouterr().out.splitlines()
    assert table[0].split() == ["attack", "line", "expected", "got", "verdict", "what"]
    assert table[1].split()[:5] == ["scope-longer", "V14", "403", "200", "found"]
    assert " checks: 1 found, 0 hints, 0 skipped, " in table[-1]
    assert len(table) == 4


def test_hints_are_shown_and_fail_nothing(issuer_port, capsys):
    with serving(services.TakesTheLastHeader(f"http://127.0.0.1:{issuer_port}")) as url:
        assert main([url, *options(issuer_port)]) == 0
    assert "two-headers-good-last" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("http://127.0.0.1:1/orders", "nothing answers at http://127.0.0.1:1/orders"),
        ("ftp://127.0.0.1/orders", "ftp://127.0.0.1/orders is not an http or https address"),
        ("http://user@127.0.0.1/", "http://user@127.0.0.1/ is not an http or https address"),
        ("http://[", "http://[ is not an http or https address"),
        (
            "https://orders.example/",
            "https://orders.example/ is on another machine; --remote says that you may attack it",
        ),
    ],
)
def test_what_cannot_be_checked_is_one_sentence(url, sentence, issuer_port, capsys):
    assert main([url, *options(issuer_port), "--wait", "0.1"]) == 2
    printed = capsys.readouterr()
    assert printed.err.splitlines()[-1] == f"identity: {sentence}"
    assert printed.out == ""


def test_a_port_in_use_is_named(capsys):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert main(["http://127.0.0.1:1/", *options(port)]) == 2
    assert capsys.readouterr().err.strip() == f"identity: port {port} is in use; choose another with --issuer-port"


def test_a_service_that_trusts_another_issuer_is_told_whom_to_trust(issuer_port, capsys):
    with serving(Careful("http://127.0.0.1:1")) as url:
        assert main([url, *options(issuer_port), "--wait", "0.1"]) == 2
    told = f"has not asked http://127.0.0.1:{issuer_port} for keys: it must trust that issuer"
    assert told in capsys.readouterr().err


def test_the_table_lines_up():
    finding = Finding("alg-none", "V01", Level.MUST, "no signature", "400 or 401", "200", Verdict.FOUND)
    assert as_table([finding], show_all=False) == (
        "attack    line  expected    got  verdict  what\n"
        "alg-none  V01   400 or 401  200  found    no signature\n"
        "\n"
        "1 checks: 1 found, 0 hints, 0 skipped, 0 withstood."
    )


def test_both_programlines_take_the_same():
    """The one of the server, and the one where only the verifier is installed."""
    full = typer.main.get_command(programline).commands["check-resource"]  # type: ignore[attr-defined]
    bare = command._parser()
    assert {option for each in full.params for option in each.opts} - {"--help", "url"} == {
        option for action in bare._actions for option in action.option_strings
    } - {"-h", "--help"}
    defaults = {
        each.opts[0]: each.default for each in full.params if each.opts[0] in ("--method", "--subject", "--wait")
    }
    assert defaults == {"--method": command.METHOD, "--subject": command.SUBJECT, "--wait": command.PATIENCE}


def test_the_verifier_alone_can_check():
    """Without typer, rich and everything else of the server; seen in a process where none of it can be imported."""
    code = (
        "import sys\n"
        "for name in ('typer', 'rich', 'sqlmodel', 'fastapi', 'uvicorn', 'redis', 'pydantic'): sys.modules[name] = None\n"
        "sys.argv = ['identity', 'check-resource', 'http://127.0.0.1:1/', '--audience', 'a', '--wait', '0',"
        " '--issuer-port', '0']\n"
        "from identity.cli.main import run\n"
        "run()\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2, done.stderr
    assert done.stderr.splitlines()[-1] == "identity: nothing answers at http://127.0.0.1:1/"
