"""What of the site belongs to no edition: its front door, the page for what is not there, a map.

``_config.yml`` names under ``front_door`` the module that draws the pictures at build time, and
under ``welcome`` and ``missing`` of each edition what the pages say in its language.
"""

import os
import subprocess
import sys
from datetime import date, datetime, timezone
from pathlib import Path
from typing import Any

import yaml
from jinja2 import Environment, FileSystemLoader

from .config import CONFIG, EDITIONS, LANGUAGES, NOTEBOOKS, ROOT
from .publishing import site_address

TEMPLATES = ROOT / "book" / "_templates"


def first_page() -> str:
    root: str = yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8"))["root"]
    return root


def pdf_name(lang: str) -> str:
    return f"{NOTEBOOKS['name']}-{lang}.pdf"


def citation() -> dict[str, Any]:
    """What ``CITATION.cff`` says of version, licence, authors."""
    found: dict[str, Any] = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    return found


def day_of_the_book() -> date:
    """When the book was last changed: the day of its last commit, or else this day."""
    if epoch := os.environ.get("SOURCE_DATE_EPOCH"):
        return datetime.fromtimestamp(int(epoch), timezone.utc).date()
    command = ["git", "-C", str(ROOT), "log", "-1", "--format=%cs"]
    try:
        said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        return date.fromisoformat(said.strip())
    except (OSError, ValueError, subprocess.CalledProcessError):
        return date.today()


def address() -> str:
    """Where the site stands on the web; empty while the owner has filled in no address."""
    settings = yaml.safe_load(CONFIG.read_text(encoding="utf-8"))
    base = settings.get("html", {}).get("baseurl", "")
    return site_address(settings["repository"]["url"], base)


def write(site: Path, at: str | None = None) -> None:
    """Write into the folder ``site``, which holds the editions, what stands beside them.

    ``at`` is the address of the site, if not the one of ``_config.yml``.
    """
    root, at = first_page(), address() if at is None else at
    door = yaml.safe_load(CONFIG.read_text(encoding="utf-8"))["sphinx"]["config"]["front_door"]
    templates = Environment(
        loader=FileSystemLoader(TEMPLATES), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    draw(door["draw"], site / "cover")
    known = {
        "name": NOTEBOOKS["name"],
        "languages": LANGUAGES,
        "editions": EDITIONS,
        "pages": {lang: f"{lang}/{root}.html" for lang in LANGUAGES},
        "books": {lang: pdf_name(lang) for lang in LANGUAGES if (site / pdf_name(lang)).exists()},
        "door": door,
        "address": at,
        "citation": citation(),
        "date": day_of_the_book().isoformat(),
    }
    for name, base in (("front_door.html", ""), ("404.html", at and f"{at}/")):
        html = templates.get_template(name).render(**known, base=base)
        target = "index.html" if name == "front_door.html" else name
        (site / target).write_text(html + "\n", encoding="utf-8")
    for lang in LANGUAGES:
        page = f'<meta charset="utf-8"><meta http-equiv="refresh" content="0; url={root}.html">\n'
        (site / lang / "index.html").write_text(page)
    if at:
        (site / "sitemap.xml").write_text(sitemap(site, at), encoding="utf-8")


def draw(module: str, folder: Path) -> None:
    """Let the book draw its pictures, in a process of its own: this one knows nothing of them."""
    path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    environment = {**os.environ, "PYTHONPATH": path}
    subprocess.run([sys.executable, "-m", module, folder], check=True, env=environment)


def sitemap(site: Path, at: str) -> str:
    """Every page of the book, with its twins; pages of the frame such as the search are none."""
    first = site / LANGUAGES[0]
    folder = Path(first_page()).parent
    names = sorted(path.relative_to(first).as_posix() for path in (first / folder).glob("*.html"))
    day = day_of_the_book().isoformat()
    twins = [{lang: f"{at}/{lang}/{name}" for lang in LANGUAGES} for name in names]
    links = [
        "".join(
            f'<xhtml:link rel="alternate" hreflang="{lang}" href="{href}"/>'
            for lang, href in each.items()
        )
        for each in twins
    ]
    urls = [f"<url><loc>{at}/</loc><lastmod>{day}</lastmod></url>"]
    urls += [
        f"<url><loc>{href}</loc><lastmod>{day}</lastmod>{link}</url>"
        for each, link in zip(twins, links, strict=True)
        for href in each.values()
    ]
    head = '<?xml version="1.0" encoding="UTF-8"?>\n'
    head += '<urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9"'
    head += ' xmlns:xhtml="http://www.w3.org/1999/xhtml">\n'
    return head + "\n".join(urls) + "\n</urlset>\n"
