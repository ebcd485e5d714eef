"""What a page asks of its reader's machine: room for pictures, pictures when they are needed, few
stops of the Tab key."""

import re
from pathlib import Path
from typing import Any

from PIL import Image
from sphinx.application import Sphinx

_PICTURE = re.compile(r'<img (?:[^>]*? )?src="(?:\.\./)*_images/([^"]+)"[^>]*?(?=\s*/?>)')


def setup(app: Sphinx) -> None:
    app.connect("html-page-context", size_pictures)


def size_pictures(
    app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: object
) -> None:
    """Say how large each picture is, so that the page does not jump when it comes, and of what
    class, where its file names one; and let those below the first wait until they are near."""
    if "_images/" not in context.get("body", ""):
        return
    sources = {name: Path(app.srcdir, path) for path, name in app.builder.images.items()}
    seen: list[str] = []

    def sized(found: re.Match[str]) -> str:
        source = sources.get(found[1], Path())
        tag, size = found[0], size_of(source)
        if size and " width=" not in tag:
            tag += f' width="{size[0]}" height="{size[1]}"'
        if size and (name := class_of(source)) and " class=" not in tag:
            tag += f' class="{name}"'
        tag += ' decoding="async"' + (' loading="lazy"' if seen else "")
        seen.append(found[1])
        return tag

    context["body"] = _PICTURE.sub(sized, context["body"])


def size_of(path: Path) -> tuple[int, int] | None:
    """Width and height of a PNG, which stand at its head; None for anything else."""
    if not path.is_file():
        return None
    with path.open("rb") as file:
        start = file.read(24)
    if not start.startswith(b"\x89PNG\r\n\x1a\n"):
        return None
    return int.from_bytes(start[16:20], "big"), int.from_bytes(start[20:24], "big")


def class_of(path: Path) -> str | None:
    """What a PNG says under the word ``class``, as the figure of a notebook may."""
    with Image.open(path) as picture:
        return picture.info.get("class")
