"""What the documents say about the code is true: links, settings, commands, errors, arrows, and the wire format."""

from __future__ import annotations

import ast
import base64
import hashlib
import re
import shlex
from pathlib import Path

import pytest
import typer

from identity.cli.commands import app as command_line
from identity.oauth.errors import OAuthError
from identity.settings import _SECRETS as SECRETS
from identity.settings import PREFIX, Settings
from identity.verifier.feed_answers import read_answer
from identity.verifier.profile import rule_digest

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", ROOT / "keys/README.md", *sorted(ROOT.glob("docs/**/*.md"))]
LONGEST_PAGE = 200


def text_of(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def blocks(text: str, language: str = "") -> list[str]:
    """Returns the fenced blocks of one language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.S | re.M)


def without_blocks(text: str) -> str:
    return re.sub(r"^```.*?^```$", "", text, flags=re.S | re.M)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_between_documents_resolve(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", without_blocks(page.read_text(encoding="utf-8"))):
        if "://" not in target:
            assert (page.parent / target.partition("#")[0]).exists(), target


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_paths_named_in_documents_exist(page):
    """`tests/...`, `identity/...` and `docs/...` in backquotes are files or folders of the repository."""
    inside = r"`((?:identity|tests|docs|benchmarks|resource_example)/[\w./-]*)`"
    for path in re.findall(inside, without_blocks(page.read_text(encoding="utf-8"))):
        assert (ROOT / path).exists(), path


def test_pages_stay_short():
    assert [page.name for page in PAGES if len(page.read_text().splitlines()) > LONGEST_PAGE] == []


def test_every_decision_is_in_the_index():
    listed = set(re.findall(r"\]\((\d{4}-[\w-]+\.md)\)", text_of("docs/decisions/README.md")))
    assert listed == {path.name for path in (ROOT / "docs/decisions").glob("0*.md")}


def default_of(name: str) -> str:
    """Returns how the table writes a default: what must be set, what is off, or the value."""
    field = Settings.model_fields[name]
    if field.is_required() or name in ("database_url", "redis_url"):
        return "must be set"
    if field.default is None or field.default == ():
        return "none"
    if isinstance(field.default, tuple):
        return f"`{','.join(field.default)}`"
    return f"`{str(field.default).lower() if isinstance(field.default, bool) else field.default}`"


def test_the_settings_table_is_complete_and_true():
    """Names, defaults, meanings and what may be read from a file are those of `Settings`."""
    rows = re.findall(r"^\| `(IDENTITY_\w+)` \| (.*?) \| (.*?) \|$", text_of("docs/settings.md"), re.M)
    assert sorted(name for name, _, _ in rows) == sorted(PREFIX + name.upper() for name in Settings.model_fields)
    for name, default, meaning in rows:
        field = name.removeprefix(PREFIX).lower()
        assert default == default_of(field), name
        assert meaning.startswith((Settings.model_fields[field].description or "?").rstrip(".")), name
        assert meaning.endswith("*secret*") == (field in SECRETS), name


def commands_of(text: str) -> list[list[str]]:
    """Returns every `identity ...` command that a document writes, as words; `a|b` in a word stands for both."""
    script = "\n".join(blocks(text, "sh")).replace("\\\n", " ")
    lines = [part for line in script.splitlines() for part in re.split(r"&&|\|\|?|;", line.partition(" #")[0])]
    lines += re.findall(r"`(?:[\w ]+ )?(identity [^`]*)`", without_blocks(text))
    found = []
    for line in lines:
        match = re.match(r"\s*(?:uv run |docker compose exec identity )?identity (.*)", line)
        if match:
            words = shlex.split(match[1].replace("...", ""))
            found += [[choice, *words[1:]] for choice in words[0].split("|")]
    return found


def problem_of(words: list[str]) -> str:
    """Returns why there is no such command, or nothing."""
    command = typer.main.get_command(command_line)
    while words and words[0] in getattr(command, "commands", {}):
        command, words = command.commands[words[0]], words[1:]
    if words and getattr(command, "commands", None):
        return f"no command {words[0]}"
    options = {option for parameter in command.params for option in parameter.opts}
    return " ".join(word for word in words if word.startswith("--") and word not in options)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_command_in_a_document_exists(page):
    for words in commands_of(page.read_text(encoding="utf-8")):
        assert problem_of(words) == "", f"identity {' '.join(words)}"


def test_commands_that_do_not_exist_would_be_noticed():
    assert problem_of(["keys", "steal"])
    assert problem_of(["keys", "rotate", "--soon"]) == "--soon"
    assert commands_of("`identity users|roles`\n```sh\nuv run identity keys list && identity x\n```\n") == [
        ["keys", "list"],
        ["x"],
        ["users"],
        ["roles"],
    ]


def test_every_error_of_the_protocol_is_explained():
    told = re.findall(r"^\| ([\d, ]+) `(\w+)` \|", text_of("docs/token-request.md"), re.M)
    explained = {(int(status), code) for statuses, code in told for status in statuses.split(", ")}
    raised = {(error.status, error.code) for error in every_error(OAuthError)}
    # What browsers carry to clients has no status; UserInfo is the one endpoint that takes access tokens.
    elsewhere = set(re.findall(r"`(\w+)`", text_of("docs/sign-in.md").partition("## Errors")[2]))
    assert {code for _, code in raised - explained} <= elsewhere


def every_error(kind: type[OAuthError]) -> set[type[OAuthError]]:
    import identity.web.bodies  # noqa: F401  # the statuses 413 and 415 are kinds of its own

    found = {each for each in kind.__subclasses__() if hasattr(each, "code")}
    return found | {deeper for each in found for deeper in every_error(each)}


def test_the_worked_example_of_a_digest_comes_out():
    example = re.search(
        r"kind +(\S+)\nvalue +(\S+)\n.*?\nhex +(\S+)\ndigest +(\S+)\n", text_of("docs/revocation.md"), re.S
    )
    assert example is not None
    kind, value, in_hex, digest = example.groups()
    computed = hashlib.sha256(kind.encode() + b"\0" + value.encode()).digest()[:16]
    assert computed == rule_digest(kind, value)
    assert computed.hex() == in_hex
    assert base64.urlsafe_b64encode(computed).rstrip(b"=").decode() == digest


def test_the_example_of_a_feed_answer_is_one():
    """Our own verifier reads it in both forms, and the worked digest stands in it."""
    answer, in_columns = (read_answer(example.encode()) for example in blocks(text_of("docs/revocation.md"), "json"))
    assert list(in_columns.blocks()) == list(answer.blocks())
    assert in_columns.rules == ()
    assert answer.rules[0].digest == rule_digest("grant_id", "k3y0vJt5mXyQ2bR8cPzLwN4sDg")
    assert answer.rules[1].expires_at is None


def room_of(module: str) -> str:
    """Returns the room of a module, as the map calls it."""
    parts = module.split(".")
    if parts[0] == "resource_example":
        return parts[0]
    if parts[1] == "store":
        return ".".join(parts[1:3])
    shared = {"identity.verifier.profile", "identity.verifier.rule_columns"}
    return ".".join(parts[1:]) if module in shared else parts[1]


def imports_of(path: Path) -> set[str]:
    """Returns the modules of ours that a file imports."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("identity"):
            each = [f"{node.module}.{alias.name}" for alias in node.names]
            found |= {name if module_path(name).exists() else node.module for name in each}
    return found


def module_path(module: str) -> Path:
    return ROOT / (module.replace(".", "/") + ".py")


def arrows() -> dict[str, set[str]]:
    """Returns which room imports which, as the code has it."""
    found: dict[str, set[str]] = {}
    for path in [*ROOT.glob("identity/**/*.py"), *ROOT.glob("resource_example/*.py")]:
        module = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        if "migrations" in path.parts or module in ("identity", "identity.store"):
            continue
        room = "verifier" if module.startswith("identity.verifier.") else room_of(module)
        targets = {room_of(name) for name in imports_of(path) if name.count(".")}
        found.setdefault(room, set()).update(target for target in targets if target.partition(".")[0] != room)
    return found


def test_the_arrows_on_the_map_are_those_of_the_code():
    actual = arrows()
    told = dict(re.findall(r"^([\w.]+) +-> +(.*)$", text_of("docs/map.md"), re.M))
    free = {"app", "cli", "resource_example", "wiring"}  # said in words
    assert set(told) - free == set(actual) - free - {"store.embedded", "store.processes"}
    for room in set(told) - free:
        plain = re.sub(r"\(.*?\)", "", told[room])
        named = set() if plain == "nothing of ours" else {part.strip() for part in plain.split(",")}
        assert named == {target for target in actual[room] if target != room}, room


def test_every_package_is_on_the_map():
    tree = blocks(text_of("docs/map.md"))[0]
    for package in ROOT.glob("identity/*/__init__.py"):
        assert re.search(rf"^  {package.parent.name}/\s", tree, re.M), package.parent.name
    for name in re.findall(r"(\w+\.py)\b", tree):
        assert list(ROOT.glob(f"identity/**/{name}")), name
