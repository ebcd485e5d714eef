"""The commands behind the Makefile: ``python -m book.editions COMMAND``."""

import argparse
import fcntl
import functools
import http.server
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import Process
from pathlib import Path

import yaml
from jupyter_book.sphinx import build_sphinx

from . import draft, front, parity, pdf
from .config import BUILD, CONFIG, EDITIONS, LANGUAGES, ROOT, chapters
from .execution import execute, executed
from .storage import NotebookError, read, stored, write_whole

SITE = BUILD / "site"
FOR_READERS = BUILD / "notebooks"
PDF = BUILD / "pdf"
UNUSED = shutil.ignore_patterns(".*", "*.map", "*-macros.html")  # of what Sphinx writes


def build() -> None:
    """Build both editions into one site."""
    _stop_at(parity.without_twin(), "Each text needs both languages before the book is built.")
    with _taking_turns():
        execute(chapters())  # side by side, before the editions need the results
        # Each has a process of its own: the words that Sphinx has loaded are global to it.
        builds = [Process(target=_build_edition, args=(lang,)) for lang in LANGUAGES]
        for process in builds:
            process.start()
        for process in builds:
            process.join()
        if any(process.exitcode for process in builds):
            sys.exit("The book was not built: its errors stand above.")
        shutil.rmtree(SITE, ignore_errors=True)
        for lang in LANGUAGES:
            shutil.copytree(_html(lang), SITE / lang, ignore=UNUSED)
        front.write(SITE)
    print(f"\nThe book is built. Open {SITE / 'index.html'}")


@contextmanager
def _taking_turns() -> Iterator[None]:
    """Wait until no other command is writing the site, and keep others waiting."""
    BUILD.mkdir(exist_ok=True)
    with (BUILD / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # the system lets go of it when the process ends
        yield


def _build_edition(lang: str) -> None:
    """Build one edition: `_config.yml` with the values of that language laid over it."""
    status = build_sphinx(
        ROOT,
        _html(lang),
        noconfig=True,
        path_config=CONFIG,
        confoverrides={
            **EDITIONS[lang]["config"],
            "edition_siblings": True,
            "external_toc_path": "_toc.yml",
            "latex_individualpages": False,
            "nitpicky": True,
        },
        warningiserror=True,
        keep_going=True,
        quiet=True,
    )
    if status != 0:  # an exception stands for itself, and has been printed
        sys.exit(1)


def _html(lang: str) -> Path:
    """Where Sphinx builds an edition; kept between builds, so that only changes are built."""
    return BUILD / "editions" / lang / "html"


def print_pdf() -> None:
    """Print the site as one PDF for each language, and offer both on its front door."""
    if not (SITE / "index.html").exists():
        build()
    if pdf.find_browser() is None:
        sys.exit("No browser found: install Chromium to print the book.")
    author = yaml.safe_load(CONFIG.read_text(encoding="utf-8"))["author"]
    version = f"{front.citation()['version']}, {front.day_of_the_book().isoformat()}"
    with _taking_turns(), pdf.open_browser() as browser:
        for lang, said in EDITIONS.items():
            first, target = SITE / lang / f"{front.first_page()}.html", PDF / front.pdf_name(lang)
            words = pdf.Words(said["title"], author, version, said["solutions"])
            pdf.print_book(browser, first, words, target)
            shutil.copy(target, SITE)
            print(f"Printed {target}")
        front.write(SITE)


def notebooks() -> None:
    """Put the notebooks that the site hands out in one place, a folder for each language."""
    build()
    with _taking_turns():
        shutil.rmtree(FOR_READERS, ignore_errors=True)
        for lang in LANGUAGES:
            shutil.copytree(SITE / lang / "_sources" / "book", FOR_READERS / lang)
    print(f"The notebooks are in {FOR_READERS}")


def refresh() -> None:
    """Run every notebook and store its text outputs: what nbval compares with."""
    execute(chapters())  # side by side; below, each is read again in case it was edited meanwhile
    for path in chapters():
        text = stored(executed(path))
        if text != path.read_text(encoding="utf-8"):
            write_whole(path, text)
            print(f"refreshed {path.relative_to(ROOT)}")
    wrong, notices = parity.review()
    _stop_at(wrong, "Each text needs both languages, and what twins share must be equal.")
    if notices:
        print(*notices, sep="\n")
        print("Look at these. Where a twin needs no change, `make parity` accepts it.")
    for path in chapters():
        for line in draft.unfinished(read(path)):
            print(f"to be written: {path.name}, {line}")


def accept() -> None:
    """Accept the texts in both languages as they stand."""
    _stop_at(parity.without_twin(), "Nothing was accepted.")
    parity.accept()


def _stop_at(complaints: list[str], advice: str) -> None:
    if complaints:
        sys.exit("\n".join([*complaints, advice]))


def serve(port: int = 8000) -> None:
    """Build the book and serve it on this machine alone."""
    build()
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=SITE)
    with http.server.ThreadingHTTPServer(("127.0.0.1", port), handler) as server:
        print(f"Serving the book on http://127.0.0.1:{port}/ - stop with Ctrl-C")
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            print()


COMMANDS = {
    "build": build,
    "notebooks": notebooks,
    "pdf": print_pdf,
    "refresh": refresh,
    "serve": serve,
    "parity": accept,
    "new-chapter": draft.new_chapter,
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m book.editions", description=__doc__)
    parser.add_argument("command", choices=COMMANDS)
    parser.add_argument("name", nargs="*", help="the name of a new chapter")
    arguments = parser.parse_args()
    try:
        COMMANDS[arguments.command](*arguments.name)
    except NotebookError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
