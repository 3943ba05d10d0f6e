"""The operator's logo, read once and told by its content, whatever the file is called."""

from __future__ import annotations

import re
from pathlib import Path

from identity.web.asset import Asset

MAX_LOGO_BYTES = 256 * 1024

_IMAGES = {
    re.compile(rb"\x89PNG\r\n\x1a\n"): ("image/png", "png"),
    re.compile(rb"\xff\xd8\xff"): ("image/jpeg", "jpg"),
    re.compile(rb"RIFF.{4}WEBP", re.DOTALL): ("image/webp", "webp"),
    re.compile(rb"(?:\xef\xbb\xbf)?(?:\s|<\?[^>]*>|<!--(?:(?!-->).)*-->|<!DOCTYPE[^>\[]*>)*<svg[\s>]", re.DOTALL): (
        "image/svg+xml",
        "svg",
    ),
}
"""How each kind begins. An SVG with entities of its own is none: they unfold without end."""


def read_logo(path: Path) -> Asset:
    """Returns the image, or raises `ValueError` with one sentence."""
    try:
        with path.open("rb") as file:
            body = file.read(MAX_LOGO_BYTES + 1)
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {type(error).__name__}") from None
    if len(body) > MAX_LOGO_BYTES:
        raise ValueError(f"{path} is larger than {MAX_LOGO_BYTES // 1024} KiB")
    for beginning, (media_type, ending) in _IMAGES.items():
        if beginning.match(body):
            return Asset(body, media_type, ending)
    raise ValueError(f"{path} is no SVG, PNG, JPEG or WebP")
