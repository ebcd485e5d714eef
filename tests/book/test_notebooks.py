"""What a chapter's file must be like, so that nbval compares it and git shows it."""

import re
from collections import Counter
from pathlib import Path

import nbformat
import pytest
from nbformat import NotebookNode

from book.editions import ROOT, chapters, parity
from book.editions.edition import LANGUAGES
from book.editions.storage import stored

HANGUL = re.compile("[가-힣]")


def code_cells(notebook: NotebookNode) -> list[NotebookNode]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def text_of(output: NotebookNode) -> str:
    """All text that an output shows."""
    return output.get("text", "") + "".join(map(str, output.get("data", {}).values()))


def draws(cell: NotebookNode) -> bool:
    return any(
        output.get("data", {}).get("text/plain", "").startswith("<Figure")
        for output in cell.outputs
    )


def test_it_is_stored_as_refresh_writes_it(chapter: Path, notebook: NotebookNode) -> None:
    assert chapter.read_text(encoding="utf-8") == stored(notebook)


def test_it_was_run_in_order(notebook: NotebookNode) -> None:
    counts = [cell.execution_count for cell in code_cells(notebook)]
    assert counts == list(range(1, len(counts) + 1)), "nbval compares no cell that was not run"


def test_no_cell_hides_its_value_with_a_semicolon(notebook: NotebookNode) -> None:
    """Jupyter hides it; nbval sees an object with an address in memory. Write ``_ = …``."""
    assert not [cell for cell in code_cells(notebook) if cell.source.rstrip().endswith(";")]


def test_outputs_are_text_without_images_errors_or_warnings(notebook: NotebookNode) -> None:
    for cell in code_cells(notebook):
        assert "execution" not in cell.metadata
        for output in cell.outputs:
            assert output.output_type != "error"
            assert output.get("name") != "stderr", output.get("text")
            assert not [kind for kind in output.get("data", {}) if kind.startswith("image/")]


def test_code_and_outputs_hold_no_hangul(notebook: NotebookNode) -> None:
    for cell in code_cells(notebook):
        assert not HANGUL.search(cell.source)
        assert not any(HANGUL.search(text_of(output)) for output in cell.outputs)


def test_every_figure_is_captioned_described_and_read(notebook: NotebookNode) -> None:
    prose = {
        lang: "\n".join(
            cell.source for cell in notebook.cells if lang in cell.metadata.get("tags", [])
        )
        for lang in LANGUAGES
    }
    for cell in filter(draws, code_cells(notebook)):
        figure = cell.metadata["mystnb"]["figure"]
        assert set(figure["caption"]) == set(cell.metadata["mystnb"]["image"]["alt"])
        for lang in LANGUAGES:
            assert figure["caption"][lang]
            assert cell.metadata["mystnb"]["image"]["alt"][lang]
            assert f"{{numref}}`{figure['name']}`" in prose[lang], f"{figure['name']} is not read"


def test_every_heading_has_a_label(notebook: NotebookNode) -> None:
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            lines = cell.source.splitlines()
            fenced = False
            for before, line in zip(["", *lines], lines, strict=False):
                fenced ^= line.startswith(("```", ":::"))
                if re.match(r"#{1,6} ", line) and not fenced:
                    assert re.fullmatch(r"\([a-z0-9-]+\)=", before), line


def test_there_is_one_title(notebook: NotebookNode) -> None:
    for lang in LANGUAGES:
        titles = [
            line
            for cell in notebook.cells
            if lang in cell.metadata.get("tags", [])
            for line in cell.source.splitlines()
            if line.startswith("# ")
        ]
        assert len(titles) == 1


def test_bold_before_a_particle_is_closed(notebook: NotebookNode) -> None:
    """CommonMark prints the asterisks of ``**계수(Dice)**는``."""
    for pair in parity.pairs(notebook):
        assert not re.search(r"""[)\\]"'.,!?:]\*\*[가-힣]""", pair.ko), pair.place


@pytest.mark.parametrize("lang", LANGUAGES)
def test_numbers_in_prose_are_printed_by_the_chapter(notebook: NotebookNode, lang: str) -> None:
    """A number that the text names stands in an output, in code or in a formula."""
    shown = [cell.source for cell in code_cells(notebook)]
    shown += [text_of(output) for cell in code_cells(notebook) for output in cell.outputs]
    numbers: Counter[tuple[str, str]] = Counter()
    for pair in parity.pairs(notebook):
        parts = parity.shared_parts(getattr(pair, lang))
        numbers.update({(pair.place, value): 1 for kind, value in parts if kind == "number"})
        shown += [value for kind, value in parts if kind in ("formula", "code")]
    everything = "\n".join(shown).replace(",", "").replace("{}", "")
    missing = [
        f"{place}: {number}"
        for place, number in numbers
        if not (number.isdigit() and int(number) <= 10)
        and not re.search(rf"(?<![\d.]){re.escape(number.replace(',', ''))}(?!\d)", everything)
    ]
    assert missing == []


def test_equations_named_in_the_core_stand_in_the_book() -> None:
    """A comment such as ``# eq-dice`` leads a reader of the code to the derivation."""
    named = {
        name
        for path in (ROOT / "segloss_core").rglob("*.py")
        for name in re.findall(r"# (eq-[a-z-]+)", path.read_text(encoding="utf-8"))
    }
    labels = {
        content
        for path in chapters()
        for pair in parity.pairs(nbformat.read(path, as_version=4))
        for kind, content in parity.shared_parts(pair.en)
        if kind == "label"
    }
    assert named
    assert named <= labels
