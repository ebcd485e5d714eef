"""Two clean editions of a book out of one bilingual source.

A chapter is one notebook. Its markdown cells carry the tag ``ko`` or ``en``, a Korean cell
directly followed by its English twin; its code cells stand once and serve both.

======================= ==========================================================================
module                  what it does
======================= ==========================================================================
``edition``             the heart: the pure function ``edition(notebook, lang) -> notebook``
``alone``               puts a cell before a downloaded notebook that unpacks what it imports
``execution``           runs every notebook once; both editions read that one result
``extension``           hooks the two above into Sphinx; language switch, downloads, MathJax
``docstrings``          the reference: docstrings in the reader's frame, linked to the chapters
``drawing``             SVG templates with words in the edition's language and links to its pages
``search``              the index of the search, from the sections and the glossary's names
``publishing``          the notebooks handed out; buttons to the repository, Colab and Binder
``pdf``                 the whole book as one PDF for each language, printed from the site
``storage``             what of a notebook is kept in git: text outputs, fixed ids
``parity``              says which twin to look at when only one language was changed
``draft``               starts a new chapter, and lists what of it is still to be written
``__main__``            what stands behind ``make book``, ``pdf``, ``refresh`` and the others
======================= ==========================================================================

Nothing here knows about segmentation: to use it in another bilingual Jupyter Book 1 project,
copy this folder and the ``editions`` block of ``_config.yml``.
"""

from pathlib import Path

ROOT = Path(__file__).parents[2]
"""The root of the repository: where ``_config.yml`` and ``_toc.yml`` stand."""

BUILD = ROOT / "_build"
"""Everything that is built lives here."""


def chapters() -> list[Path]:
    """Every notebook of the book, in order."""
    return sorted((ROOT / "book").glob("*.ipynb"))
