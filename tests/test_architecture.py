"""The cut of the product: who may import whom, what is loaded by whom, and how big a piece may get (DESIGN 3, 12)."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FILES = sorted(path for folder in ("identity", "resource_example") for path in (ROOT / folder).rglob("*.py"))

OURS: dict[str, set[str]] = {
    "identity.verifier": set(),
    "identity.testing": {"identity.verifier"},
    "identity.checking": {"identity.testing", "identity.verifier.profile"},
    "identity.models": set(),
    "identity.tokens": {"identity.feed.rules", "identity.keyring", "identity.verifier.profile"},
    "identity.keyring": {"identity.tokens", "identity.verifier.jwk", "identity.verifier.profile"},
    "identity.feed": {"identity.verifier.profile", "identity.verifier.rule_columns"},
    "identity.accounts": {"identity.models", "identity.verifier.profile"},
    "identity.oauth": {
        "identity.accounts",
        "identity.feed",
        "identity.keyring",
        "identity.models",
        "identity.outbound",
        "identity.tokens",
        "identity.verifier.certificates",
        "identity.verifier.compact",
        "identity.verifier.dpop",
        "identity.verifier.errors",
        "identity.verifier.nonces",
        "identity.verifier.profile",
        "identity.verifier.signature_keys",
    },
    "identity.administration": {
        "identity.accounts",
        "identity.feed",
        "identity.keyring",
        "identity.models",
        "identity.oauth",
        "identity.store.sql.change",
        "identity.tokens",
        "identity.verifier.certificates",
        "identity.verifier.profile",
    },
    "identity.outbound": set(),
    "identity.setting_forms": set(),
    "identity.settings": {
        "identity.outbound.reach",
        "identity.setting_forms",
        "identity.store.redis.address",
        "identity.verifier.profile",
    },
    "identity.installed_keys": {
        "identity.administration.keys",
        "identity.feed",
        "identity.keyring",
        "identity.settings",
        "identity.store",
    },
    "identity.store": {
        "identity.accounts",
        "identity.feed",
        "identity.keyring",
        "identity.models",
        "identity.oauth.authorization",
        "identity.oauth.client_keys",
        "identity.oauth.logout_notices",
        "identity.oauth.registry",
        "identity.oauth.replays",
        "identity.tokens",
        "identity.verifier.profile",
    },
    "identity.web": {
        "identity.accounts.sessions",
        "identity.feed",
        "identity.keyring",
        "identity.oauth",
        "identity.settings",
        "identity.verifier.certificates",
        "identity.verifier.dpop",
        "identity.verifier.profile",
    },
    "resource_example": {"identity.verifier"},
}
"""What each part may import of ours, besides itself. `app` and `cli` may import everything; nobody else may import them, or
`installed_keys`."""

LIBRARIES: dict[str, tuple[str, ...]] = {
    "sqlmodel": ("identity.models", "identity.store.sql"),
    "sqlalchemy": ("identity.models", "identity.store.sql"),
    "alembic": ("identity.store.sql",),
    "redis": ("identity.store.redis",),
    "fakeredis": ("identity.store.redis",),
    "fastapi": ("identity.web", "identity.app", "identity.verifier.fastapi", "resource_example"),
    "starlette": ("identity.web", "identity.app", "identity.verifier.fastapi"),
    "uvicorn": ("identity.cli", "resource_example"),
    "typer": ("identity.cli",),
    "rich": ("identity.cli",),
    "httpx2": ("identity.outbound", "identity.verifier"),
    "argon2": ("identity.accounts.passwords",),
    "pydantic": ("identity.settings", "resource_example"),
    "pytest": ("identity.testing.plugin",),
}
"""Who may use a library at all."""

LIGHT = {"jwt", "cryptography", "httpx2", "fastapi", "starlette"}
"""What the base install and its FastAPI adapter bring."""

VAGUE = {"utils", "util", "helpers", "helper", "common", "base", "manager", "misc", "core"}


def module_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def is_within(module: str, part: str) -> bool:
    return module == part or module.startswith(part + ".")


def imports_of(path: Path) -> Iterator[str]:
    """Every module a file imports when it runs; those for type checkers alone are no dependency."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for_types = {
        id(child)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING")
        for child in ast.walk(node)
    }
    for node in ast.walk(tree):
        if id(node) in for_types:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: say where it comes from"
            assert node.module is not None
            # `from identity.verifier import profile` is an import of the module `profile`.
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                is_module = (ROOT / inner.replace(".", "/")).with_suffix(".py").exists()
                yield inner if is_module else node.module


EDGES = [(module_of(path), imported) for path in FILES for imported in imports_of(path)]


@pytest.mark.parametrize("part", OURS)
def test_a_part_imports_only_what_the_design_allows_it(part: str) -> None:
    """DESIGN 3: one direction, one composition root."""
    wrong = {
        f"{module} imports {imported}"
        for module, imported in EDGES
        if is_within(module, part)
        and imported.partition(".")[0] in ("identity", "resource_example")
        and not any(is_within(imported, allowed) for allowed in OURS[part] | {part})
    }
    assert wrong == set()


def test_every_part_is_ruled() -> None:
    """DESIGN 3: a new package must say what it may import."""
    parts = {".".join(module_of(path).split(".")[:2]) for path in FILES if path.is_relative_to(ROOT / "identity")}
    assert parts - set(OURS) - {"identity", "identity.app", "identity.cli", "identity.wiring"} == set()


def test_nobody_imports_the_composition_root_but_the_command_line() -> None:
    """DESIGN 3."""
    users = {module for module, imported in EDGES if is_within(imported, "identity.app") and module != "identity.app"}
    assert {module for module in users if not is_within(module, "identity.cli")} == set()


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_library_is_used_only_where_it_belongs(library: str) -> None:
    """DESIGN 3: the only place that knows HTTP, the only place that knows SQL, and so on."""
    users = {module for module, imported in EDGES if is_within(imported, library)}
    assert {module for module in users if not any(is_within(module, place) for place in LIBRARIES[library])} == set()


def test_the_verifier_uses_only_what_the_base_install_brings() -> None:
    """DESIGN 3: the light part, which every resource service installs."""
    used = {imported.partition(".")[0] for module, imported in EDGES if is_within(module, "identity.verifier")}
    assert used - sys.stdlib_module_names - LIGHT - {"identity"} == set()


def test_the_models_use_nothing_but_sqlmodel() -> None:
    """DESIGN 3."""
    used = {imported.partition(".")[0] for module, imported in EDGES if is_within(module, "identity.models")}
    assert used - sys.stdlib_module_names == {"identity", "sqlmodel", "sqlalchemy"}


def test_importing_identity_imports_nothing() -> None:
    """DESIGN 3: a docstring only."""
    (docstring,) = ast.parse((ROOT / "identity/__init__.py").read_text(encoding="utf-8")).body
    assert isinstance(docstring, ast.Expr)


def test_importing_the_verifier_loads_no_part_of_the_server() -> None:
    """DESIGN 3: seen in a fresh process, with every module of the verifier but the FastAPI adapter."""
    modules = [module_of(path) for path in FILES if is_within(module_of(path), "identity.verifier")]
    imports = "; ".join(f"import {module}" for module in modules if module != "identity.verifier.fastapi")
    code = f"import sys; {imports}; print(*sorted(sys.modules))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    loaded = run.stdout.split()
    assert [name for name in loaded if is_within(name, "identity") and not is_within(name, "identity.verifier")] == [
        "identity"
    ]
    server = {
        "fastapi",
        "starlette",
        "uvicorn",
        "sqlmodel",
        "sqlalchemy",
        "redis",
        "pydantic",
        "structlog",
        "typer",
        "argon2",
    }
    assert server & set(loaded) == set()


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_piece_is_small_and_named_for_what_it_is(path: Path) -> None:
    """DESIGN 12: files up to 300 lines, functions up to 40, no drawer for odds and ends; every module says what it is."""
    assert not VAGUE & set(path.relative_to(ROOT).with_suffix("").parts)
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 300
    tree = ast.parse(text)
    assert ast.get_docstring(tree)
    is_migration = "versions" in path.parts
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and not is_migration:
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            assert length <= 40, f"{node.name} has {length} lines"
