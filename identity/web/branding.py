"""What the pages look like: our templates and stylesheet, and what the operator puts in their place."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from jinja2 import BaseLoader, ChoiceLoader, Environment, FileSystemLoader, PackageLoader, PrefixLoader, StrictUndefined

from identity.settings import ConfigurationError, Settings
from identity.web.asset import Asset
from identity.web.colors import accent_rules, parse_color
from identity.web.logo import read_logo
from identity.web.template_checks import problems_of

_OURS = Path(__file__).parent
_CSS = (_OURS / "assets" / "page.css").read_bytes()
TEMPLATES = frozenset(path.name for path in (_OURS / "templates").glob("*.html"))

BRAND_STYLES = "brand.css"
"""The operator's style rules, in the folder of their templates; they come after ours."""


@dataclass(frozen=True, slots=True)
class Branding:
    """What pages are made of. It was looked at as a whole: with the operator's templates every form still works."""

    templates: Environment
    stylesheet: Asset
    logo: Asset | None

    @classmethod
    def of(cls, settings: Settings) -> Branding:
        """Reads everything, once: what changes on the disk later is not seen before the next start. Raises
        `ConfigurationError` with one sentence for each problem."""
        problems: list[str] = []
        logo = _logo(settings, problems)
        templates = Environment(
            loader=_loader(settings.templates_dir, problems),
            autoescape=True,
            undefined=StrictUndefined,
            auto_reload=False,
        )
        stylesheet = Asset(_styles(settings, problems), "text/css", "css")
        base = urlsplit(settings.issuer).path
        templates.globals.update(
            brand=settings.brand_name,
            stylesheet=base + stylesheet.path,
            logo=base + logo.path if logo else "",
        )
        if settings.templates_dir is not None and not problems:
            problems += [f"IDENTITY_TEMPLATES_DIR: {problem}" for problem in problems_of(templates, TEMPLATES)]
        if problems:
            raise ConfigurationError(problems)
        return cls(templates, stylesheet, logo)

    @property
    def assets(self) -> tuple[Asset, ...]:
        """Every file that pages show."""
        return (self.stylesheet, self.logo) if self.logo else (self.stylesheet,)


def _logo(settings: Settings, problems: list[str]) -> Asset | None:
    if settings.logo_file is None:
        return None
    try:
        return read_logo(settings.logo_file)
    except ValueError as error:
        problems.append(f"IDENTITY_LOGO_FILE: {error}")
        return None


def _loader(folder: Path | None, problems: list[str]) -> BaseLoader:
    ours = PackageLoader("identity.web")
    if folder is None:
        return ours
    try:
        names = sorted(path.name for path in folder.iterdir())
    except OSError as error:
        problems.append(f"IDENTITY_TEMPLATES_DIR: {folder} is no folder that can be read: {type(error).__name__}")
        return ours
    # A misspelt name would be a template that nobody ever sees.
    for name in names:
        if name.endswith(".html") and not name.startswith(("_", ".")) and name not in TEMPLATES:
            problems.append(
                f"IDENTITY_TEMPLATES_DIR: {name} takes the place of none of {', '.join(sorted(TEMPLATES))}; a part of "
                "your own begins with _"
            )
    return ChoiceLoader([FileSystemLoader(folder), ours, PrefixLoader({"ours": ours})])


def _styles(settings: Settings, problems: list[str]) -> bytes:
    accent = accent_rules(parse_color(settings.accent_color)).encode() if settings.accent_color else b""
    return _CSS + accent + _brand_styles(settings.templates_dir, problems)


def _brand_styles(folder: Path | None, problems: list[str]) -> bytes:
    try:
        return b"\n" + (folder / BRAND_STYLES).read_bytes() if folder else b""
    except (FileNotFoundError, NotADirectoryError):
        return b""
    except OSError as error:
        problems.append(f"IDENTITY_TEMPLATES_DIR: {BRAND_STYLES} cannot be read: {type(error).__name__}")
        return b""
