"""Clean editions of a book, one for each language, out of one source.

A chapter is one notebook. Its markdown cells carry the tag of a language and stand directly behind
each other, in the order of the languages; its code cells stand once and serve all. The languages,
and the packages, modules and data that the code stands on, are named in ``_config.yml``.

Below are modules that know nothing of Sphinx, nor of what the book is about:

======================= ==========================================================================
``config``              what ``_config.yml`` says of the book
``edition``             the heart: the pure function ``edition(notebook, lang) -> notebook``
``storage``             what of a notebook is kept in git: text outputs, ids that stay
``myst``                how the texts are parsed
``parity``              says which twin to look at when only one language was changed
``execution``           runs every notebook once; all editions read that one result
``plain``               turns a notebook into one that needs no MyST
``alone``               puts a cell before it that unpacks what it imports
======================= ==========================================================================

Above them stands what makes a site of Jupyter Book 1 out of them:

======================= ==========================================================================
``extension``           hooks the above into Sphinx; language switch, downloads, MathJax
``pages``               what a notebook that is handed out says of the built pages
``publishing``          the notebooks handed out; buttons to the repository, Colab and Binder
``front``               what belongs to no edition: the front door, the 404 page, the site's map
``head``                what a page says of itself: description, addresses, how to cite it
``weight``              sizes of pictures, and when they are fetched
``previews``            what references lead to, for the notes that open beside them
``search``              the index of the search, from the sections and the glossary's names
``drawing``             SVG templates with words in the edition's language and links to its pages
``docstrings``          the reference: docstrings in the reader's frame, linked to the chapters
``pdf``                 the whole book as one PDF for each language, printed from the site
``draft``               starts a new chapter, and lists what of it is still to be written
``__main__``            what stands behind ``make book``, ``pdf``, ``refresh`` and the others
======================= ==========================================================================

To use the lower part in another book, copy it with the blocks ``editions`` and ``notebooks`` of
``_config.yml``.
"""

from .config import BUILD, ROOT, chapters

__all__ = ["BUILD", "ROOT", "chapters"]
