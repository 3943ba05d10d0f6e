"""The repository's deployment files, read: the build context, the Dockerfile, and the compose file."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
SECRETS = "/run/secrets/"


def build_context(paths: list[str]) -> list[str]:
    """Returns which of `paths` a build may see by `.dockerignore`: the last pattern that matches decides."""
    lines = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    rules = [line.strip() for line in lines if line.strip() and not line.startswith("#")]
    return [path for path in paths if not _is_ignored(path, rules)]


def _is_ignored(path: str, rules: list[str]) -> bool:
    ignored = False
    for rule in rules:
        if _matches(path, rule.removeprefix("!").strip("/")):
            ignored = not rule.startswith("!")
    return ignored


def _matches(path: str, pattern: str) -> bool:
    """Tells whether the pattern means the path, or a folder that it lies in."""
    names = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    expression = "".join(
        names.get(part, part if part.startswith("[") else re.escape(part))
        for part in re.findall(r"\*\*/|\*\*|\*|\?|\[[^\]]*\]|[^*?\[]+", pattern)
    )
    parts = path.split("/")
    return any(re.fullmatch(expression, "/".join(parts[:count])) for count in range(1, len(parts) + 1))


def committed_files() -> list[str]:
    """Returns what a clone holds."""
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, check=True, capture_output=True, text=True)
    return [line for line in listed.stdout.splitlines() if (ROOT / line).is_file()]


def dockerfile() -> list[tuple[str, str]]:
    """Returns the instructions in order, with continued lines joined."""
    text = re.sub(r"^#.*\n", "", (ROOT / "Dockerfile").read_text(encoding="utf-8"), flags=re.M)
    lines = text.replace("\\\n", " ").splitlines()
    return [
        (word, re.sub(r"\s+", " ", rest)) for word, _, rest in (line.partition(" ") for line in lines if line.strip())
    ]


def compose() -> dict[str, Any]:
    """Returns the compose file as it stands, merges resolved."""
    document: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
    return document


def interpolated(value: Any) -> Any:
    """Returns a value as a container sees it where the operator set no variable: defaults, and `$$` as `$`."""
    if isinstance(value, dict):
        return {name: interpolated(each) for name, each in value.items()}
    if isinstance(value, list):
        return [interpolated(each) for each in value]
    if isinstance(value, str):
        return re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", value).replace("$$", "$")
    return value


def runnable_block(number: int) -> str:
    """Returns a shell block that `docs/operating.md` marks as tested."""
    text = (ROOT / "docs/operating.md").read_text(encoding="utf-8")
    return re.findall(r"<!-- tested -->\n```sh\n(.*?)^```$", text, re.S | re.M)[number]
