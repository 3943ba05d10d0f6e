"""Colours that can be read: contrast as WCAG 2.2 section 1.4.3 defines it."""

from __future__ import annotations

Color = tuple[int, int, int]

WHITE: Color = (255, 255, 255)
BLACK: Color = (0, 0, 0)
READABLE = 4.5
"""The least contrast of text (level AA)."""

LIGHT_CARD: Color = (0xFF, 0xFF, 0xFF)
DARK_CARD: Color = (0x19, 0x1C, 0x22)
"""What text in the accent colour stands on: `--card` in `assets/page.css`, where a test finds them."""


def parse_color(text: str) -> Color:
    """Returns the colour that `#rrggbb` writes."""
    return int(text[1:3], 16), int(text[3:5], 16), int(text[5:7], 16)


def written(color: Color) -> str:
    """Returns `#rrggbb`."""
    return "#{:02x}{:02x}{:02x}".format(*color)


def contrast(one: Color, other: Color) -> float:
    """Returns a ratio from 1 to 21."""
    darker, lighter = sorted((_luminance(one), _luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


def text_on(ground: Color) -> Color:
    """Returns white or black, whichever is read better; one of them always has a contrast above 4.5."""
    return max((WHITE, BLACK), key=lambda text: contrast(text, ground))


def readable_on(ground: Color, color: Color) -> Color:
    """Returns the colour nearest to `color` that is read on `ground`: darker on a light one, lighter on a dark one."""
    towards = text_on(ground)
    mixes = (_mixed(color, towards, step / 32) for step in range(33))
    return next(mix for mix in mixes if contrast(mix, ground) >= READABLE)


def accent_rules(accent: Color) -> str:
    """Returns the style rules that put `accent` in the place of ours."""
    common = f"--accent: {written(accent)}; --on-accent: {written(text_on(accent))};"
    light, dark = (f"--accent-ink: {written(readable_on(card, accent))};" for card in (LIGHT_CARD, DARK_CARD))
    return f"\n:root {{ {common} {light} }}\n@media (prefers-color-scheme: dark) {{ :root {{ {common} {dark} }} }}\n"


def _mixed(color: Color, other: Color, share: float) -> Color:
    red, green, blue = (round(one + (two - one) * share) for one, two in zip(color, other, strict=True))
    return red, green, blue


def _luminance(color: Color) -> float:
    red, green, blue = (_linear(part / 255) for part in color)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _linear(part: float) -> float:
    return part / 12.92 if part <= 0.04045 else float(((part + 0.055) / 1.055) ** 2.4)
