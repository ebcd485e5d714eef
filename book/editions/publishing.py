"""How the book is published: the notebooks it hands out, and the buttons that lead outside.

The owner writes the address into ``repository`` of ``_config.yml``; without it no page has such a
button. Source and issue buttons lead to the bilingual source on its branch. Colab and Binder open
what a reader of the page can run: the edition's notebook as the site hands it out, from the branch
that the site is published on (``.github/workflows/site.yml``).
"""

import re
from pathlib import Path

from nbformat import NotebookNode
from sphinx.application import Sphinx
from sphinx.config import Config
from sphinx.environment import BuildEnvironment

from .alone import alone
from .edition import edition
from .plain import Page, plain

SITE_BRANCH = "gh-pages"


def offer_the_source(app: Sphinx) -> None:
    """Switch the repository's buttons on where its address is known, and all off where not."""
    options = app.config.html_theme_options
    if not options.get("repository_url"):
        options.pop("repository_url", None)
        options.pop("launch_buttons", None)
        return
    for button in ("repository", "edit_page", "issues"):
        options[f"use_{button}_button"] = True


def launch_the_edition(app: Sphinx) -> None:
    """Point the launch buttons at the edition's notebook on the site's branch.

    The theme reads these options for them page by page; for the source buttons it has copied
    the options before this runs.
    """
    options = app.config.html_theme_options
    options["repository_branch"] = SITE_BRANCH
    options["path_to_docs"] = f"{app.config.language}/_sources"


def site_address(repository: str, base: str) -> str:
    """Where the site stands on the web: on GitHub's pages, unless an address of its own is given.

    Empty while the owner has filled in neither.
    """
    if not base and (found := re.fullmatch(r"https://github\.com/([^/]+)/([^/]+?)/?", repository)):
        return f"https://{found[1].lower()}.github.io/{found[2]}"
    return base.rstrip("/")


def edition_address(config: Config) -> str:
    """Where the edition stands on the web; empty while the owner has filled in no address."""
    repository = config.html_theme_options.get("repository_url", "")
    site = site_address(repository, config.html_baseurl)
    return site and f"{site}/{config.language}"


def handed_out(notebook: NotebookNode, page: Page, lang: str) -> NotebookNode:
    """What a reader gets of an executed notebook: plain, in one language, and it runs by itself."""
    return alone(plain(edition(notebook, lang), page))


def drop_outdated_page(app: Sphinx, env: BuildEnvironment, docname: str) -> None:
    """Delete what was built of a page: it is built anew, unless its chapter is gone."""
    for built in (f"{docname}.html", f"_sources/{docname}.ipynb"):
        Path(app.outdir, built).unlink(missing_ok=True)
