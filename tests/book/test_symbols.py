"""A letter means one thing in the whole book: what the table of symbols says."""

import re

from nbformat import NotebookNode, read

from book.editions import ROOT, parity

TABLES = ROOT / "book" / "01_notation.ipynb"
GREEK = re.compile(
    r"\\(alpha|beta|gamma|delta|epsilon|zeta|eta|theta|kappa|lambda|mu|nu|xi|pi|rho|sigma|tau|phi"
    r"|chi|psi|omega|ell|Gamma|Delta|Theta|Lambda|Pi|Sigma|Phi|Psi|Omega)"
)
UPRIGHT = re.compile(r"\\(mathrm|operatorname|begin|end|text)\*?\s*\{[^{}]*\}")


def letters(formula: str) -> set[str]:
    """The letters of a formula, Latin and Greek; upright words are no letters."""
    tokens = re.findall(r"\\[A-Za-z]+|[A-Za-z]", UPRIGHT.sub(" ", formula))
    return {token for token in tokens if len(token) == 1 or GREEK.fullmatch(token)}


def in_table() -> set[str]:
    """The letters in the first column of the tables of symbols."""
    texts = [pair.en for pair in parity.pairs(read(TABLES, as_version=4))]
    (section,) = (text for text in texts if "(sec-notation-symbols)=" in text)
    cells = re.findall(r"^\| ([^|]*) \|", section, re.MULTILINE)
    return set().union(*(letters(formula) for cell in cells for formula in inline(cell)))


def inline(text: str) -> list[str]:
    """The formulas of one line."""
    return re.findall(r"\$(.*?)\$", text)


def test_letters_of_a_formula() -> None:
    formula = r"\begin{aligned}\frac{\mathrm{TP}+s}{D}&=\sigma(\hat p_i)\end{aligned}"
    assert letters(formula) == {"s", "D", r"\sigma", "p", "i"}


def test_every_letter_of_a_displayed_formula_is_in_the_table(lesson: NotebookNode) -> None:
    """A chapter may add letters in the row "Symbols" of its card."""
    texts = [pair.en for pair in parity.pairs(lesson)]
    added = [
        row for text in texts for row in re.findall(r"^- \*\*Symbols\*\*:.*", text, re.MULTILINE)
    ]
    known = in_table().union(*(letters(formula) for row in added for formula in inline(row)))
    displayed = [item for text in texts for item in re.findall(r"\$\$(.*?)\$\$", text, re.DOTALL)]
    unknown = {item.strip(): sorted(letters(item) - known) for item in displayed}
    assert {item: strange for item, strange in unknown.items() if strange} == {}


def test_no_word_stands_inside_a_formula(lesson: NotebookNode) -> None:
    """Both languages show the same formula."""
    texts = [text for pair in parity.pairs(lesson) for text in (pair.ko, pair.en)]
    assert [text for text in texts if r"\text{" in text] == []
