"""What of the metadata depends on the address of the repository, which ``_config.yml`` holds.

Everything else is in ``pyproject.toml``. A package index shows the README without the files that
lie beside it: there a link is absolute, and while no address is filled in, it is its words alone.
"""

import re
from pathlib import Path

from setuptools import setup

ROOT = Path(__file__).parent


def address(config: str) -> str:
    """The address of the repository; empty while the owner has filled in none."""
    found = re.search(r'^repository:\n  url:(?: &\w+)? *"?([^"\s#]*)', config, re.MULTILINE)
    return found[1].rstrip("/") if found else ""


def site(url: str) -> str:
    """The address of the built book, as the publishing workflow leaves it on GitHub's pages."""
    found = re.fullmatch(r"https://github\.com/([^/]+)/([^/]+)", url)
    return f"https://{found[1].lower()}.github.io/{found[2]}" if found else ""


def project_urls(url: str) -> dict[str, str]:
    if not url:
        return {}
    urls = {
        "Source": url,
        "Issues": f"{url}/issues",
        "Changelog": f"{url}/blob/main/CHANGELOG.md",
    }
    return {"Book": f"{site(url)}/", **urls} if site(url) else urls


def package_page(readme: str, url: str) -> str:
    """The README for a page away from its files."""
    if not url:  # a line that is a link alone goes, and the picture with the caption that reads it
        readme = re.sub(r"^\[[^]]*\]\([^)]*\)\n\n", "", readme, flags=re.M)
        readme = re.sub(r"^!\[[^]]*\]\([^)]*\)\n\n\*.*?\n\n", "", readme, flags=re.DOTALL | re.M)

    def absolute(link: re.Match[str]) -> str:
        picture, words, target = link.groups()
        if "://" in target or target.startswith("#"):
            return link[0]
        if not url:
            return words
        chapter = re.fullmatch(r"book/(\w+)\.ipynb", target)
        if chapter and site(url):
            return f"[{words}]({site(url)}/en/book/{chapter[1]}.html)"
        return f"{picture}[{words}]({url}/{'raw' if picture else 'blob'}/main/{target})"

    return re.sub(r"(!?)\[([^]]*)\]\(([^)]*)\)", absolute, readme)


if __name__ == "__main__":
    url = address((ROOT / "_config.yml").read_text(encoding="utf-8"))
    setup(
        long_description=package_page((ROOT / "README.md").read_text(encoding="utf-8"), url),
        long_description_content_type="text/markdown",
        project_urls=project_urls(url),
    )
