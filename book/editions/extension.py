"""The Sphinx extension: reads every notebook as the edition of the language being built."""

import hashlib
import json
import shutil
from importlib.metadata import files
from pathlib import Path
from typing import Any

import nbformat
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.config import Config
from sphinx.environment import BuildEnvironment
from sphinx.errors import ExtensionError
from sphinx.locale import _, get_translation
from sphinx.transforms import SphinxTransform

from . import docstrings, drawing, head, previews, search, weight
from .config import LANGUAGES
from .edition import edition
from .execution import environment_digest, execute, executed, execution_key
from .pages import BuiltPage
from .publishing import (
    drop_outdated_page,
    edition_address,
    handed_out,
    launch_the_edition,
    offer_the_source,
)
from .storage import read

DOMAINS = ("sphinx", "booktheme")  # where Sphinx and its theme look words up


def setup(app: Sphinx) -> dict[str, Any]:
    app.add_config_value("editions", {}, "html", types=[dict])
    app.add_config_value("notebooks", {}, "", types=[dict])
    app.add_config_value("edition_siblings", False, "html", types=[bool])
    docstrings.setup(app)
    drawing.setup(app)
    head.setup(app)
    previews.setup(app)
    search.setup(app)
    weight.setup(app)
    app.add_transform(LabelsAsAnchors)
    learn_words(app)
    app.connect("config-inited", speak_one_language, priority=900)
    app.connect("builder-inited", offer_the_source)
    app.connect("builder-inited", launch_the_edition, priority=900)
    app.connect("env-get-outdated", find_outdated)
    app.connect("env-purge-doc", drop_outdated_page)
    app.connect("source-read", read_edition)
    app.connect("html-page-context", mend_roles)
    app.connect("build-finished", translate_copy_buttons)
    app.connect("build-finished", write_downloads)
    app.connect("build-finished", copy_mathjax)
    app.connect("build-finished", drop_icon_font)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}


def speak_one_language(app: Sphinx, config: Config) -> None:
    """Keep one side of the captions in ``_toc.yml``, which are written "겹침 | Overlap"."""
    side = LANGUAGES.index(config.language)
    for document in config.external_site_map.values():
        for subtree in document.subtrees:
            if subtree.caption:
                subtree.caption = subtree.caption.split("|")[side].strip()


def _notebook(env: BuildEnvironment, docname: str) -> Path | None:
    """The notebook behind a page; None for a page of another kind."""
    path = Path(env.doc2path(docname))
    return path if path.suffix == ".ipynb" else None


def find_outdated(
    app: Sphinx, env: BuildEnvironment, added: set[str], changed: set[str], removed: set[str]
) -> list[str]:
    """The pages whose code stands on something that has changed: Sphinx sees only their files."""
    known = getattr(env, "execution_keys", {})
    environment = environment_digest()
    env.execution_keys = {
        docname: execution_key(read(path), environment)
        for docname in env.found_docs
        if (path := _notebook(env, docname)) is not None
    }
    outdated = [name for name, key in env.execution_keys.items() if known.get(name, key) != key]
    if _static_digest(app) != getattr(env, "static_digest", None):
        env.static_digest = _static_digest(app)
        outdated.append(app.config.root_doc)  # without a page to write Sphinx copies no file
    return outdated


def _static_digest(app: Sphinx) -> str:
    """A digest of the styles and scripts, which Sphinx copies only along with some page."""
    folders = [Path(app.confdir, folder) for folder in app.config.html_static_path]
    digest = hashlib.sha256()
    for path in sorted(path for folder in folders for path in folder.glob("*")):
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


def read_edition(app: Sphinx, docname: str, source: list[str]) -> None:
    """Let MyST-NB parse the edition of the executed notebook instead of the file."""
    if path := _notebook(app.env, docname):
        source[0] = nbformat.writes(edition(executed(path), app.config.language, blank=True))


class LabelsAsAnchors(SphinxTransform):
    """Anchor a section at its label, which all editions share, before the words of its title."""

    default_priority = 300  # labels have been attached to their sections

    def apply(self, **kwargs: Any) -> None:
        ids, explicit = self.document.nameids, self.document.nametypes
        labels = {ids[name] for name in ids if explicit[name]}
        for section in self.document.findall(nodes.section):
            section["ids"].sort(key=lambda anchor: anchor not in labels)


def mend_roles(
    app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: object
) -> None:
    """Take out what only a screen reader meets: a label that hides the words of a summary, and
    docutils' role of a reference, which is no item of the list that it says it is in."""
    if "body" in context:
        body = context["body"].replace(' aria-label="Toggle hidden content"', "")
        context["body"] = body.replace('role="doc-biblioentry"', 'role="listitem"')


def translate_copy_buttons(app: Sphinx, exception: Exception | None) -> None:
    """Add the edition's words to those that sphinx-copybutton's script brings along."""
    script = Path(app.outdir, "_static", "copybutton.js")
    if exception is not None or not script.exists():
        return
    keys = ("Copy", "Copy to clipboard", "Copied!", "Failed to copy")
    names = ("copy", "copy_to_clipboard", "copy_success", "copy_failure")
    words = json.dumps(dict(zip(names, map(_, keys), strict=True)), ensure_ascii=False)
    table = "const messages = {\n"
    text = script.read_text(encoding="utf-8")
    entry = f"  {app.config.language!r}: {words},\n"
    if entry not in text:
        if table not in text:
            raise ExtensionError("sphinx-copybutton's table of words is not where it was")
        script.write_text(text.replace(table, table + entry), encoding="utf-8")


def write_downloads(app: Sphinx, exception: Exception | None) -> None:
    """Put the edition's own notebook behind the download button, not the bilingual source."""
    if exception is not None or app.builder.name != "html":
        return
    sources = {name: path for name in app.env.found_docs if (path := _notebook(app.env, name))}
    for docname, notebook in zip(sources, execute(sources.values()), strict=True):
        page = BuiltPage(app.env, docname, edition_address(app.config))
        target = Path(app.outdir, "_sources", docname).with_suffix(".ipynb")
        nbformat.write(handed_out(notebook, page, app.config.language), target)


def copy_mathjax(app: Sphinx, exception: Exception | None) -> None:
    """Serve MathJax from the site: the script and its fonts, 1.5 MB of the package's 24."""
    if exception is not None or app.builder.format != "html":
        return
    static = Path(app.outdir, "_static", "mathjax")
    for file in files("sphinx-mathjax-offline"):
        name = file.as_posix().partition("static/mathjax/")[2]
        if name == "tex-chtml.js" or name.startswith("output/chtml/fonts/woff-v2/"):
            target = static / name
            if not target.exists():
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(file.locate(), target)


def drop_icon_font(app: Sphinx, exception: Exception | None) -> None:
    """Delete the theme's icons, 3 MB of script and fonts: the book draws the few it shows."""
    static = Path(app.outdir, "_static")
    for script in static.glob("scripts/fontawesome.js*"):
        script.unlink()
    shutil.rmtree(static / "vendor" / "fontawesome", ignore_errors=True)


def learn_words(app: Sphinx) -> None:
    """Add the interface words for which Sphinx and its theme have no translation.

    They are compiled into a folder of this build alone, for Sphinx passes over a catalogue that it
    cannot read: one that another build is writing at that moment leaves a page in English.
    """
    folder = Path(app.doctreedir, "locale")
    for po in Path(__file__).with_name("locale").glob("*.po"):
        with po.open("rb") as file:
            words = read_po(file, locale=po.stem)
        for domain in DOMAINS:
            mo = folder / po.stem / "LC_MESSAGES" / f"{domain}.mo"
            mo.parent.mkdir(parents=True, exist_ok=True)
            with mo.open("wb") as compiled:
                write_mo(compiled, words)
            app.add_message_catalog(domain, str(folder))
            if po.stem == app.config.language:
                _check_loaded(domain, [word.id for word in words if word.id])


def _check_loaded(domain: str, words: list[str]) -> None:
    translate = get_translation(domain)
    if missing := [word for word in words if translate(word) == word]:
        raise ExtensionError(f"the words of the interface were not loaded for {domain}: {missing}")
