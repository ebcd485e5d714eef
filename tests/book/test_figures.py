"""How a notebook keeps its figures."""

import base64
import io
import sys

import numpy as np
import pytest
from matplotlib import pyplot as plt
from nbclient import NotebookClient
from nbformat.v4 import new_code_cell, new_notebook
from PIL import Image

from book.editions import ROOT


@pytest.fixture
def figures(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "book")
    import figures

    with plt.rc_context():
        figures.use_style()
        yield figures
    plt.close("all")
    sys.modules.pop("figures", None)  # other tests may mean another module


def kept_and_whole(figures, figure) -> tuple[Image.Image, Image.Image, float]:
    """A figure as a notebook keeps it, as Matplotlib writes it, and the share of the size."""
    whole = io.BytesIO()
    figure.savefig(whole, format="png", bbox_inches="tight")
    kept = figures.light_png(figure)
    share = len(kept) / len(whole.getvalue())
    return Image.open(io.BytesIO(kept)), Image.open(whole), share


def test_a_drawing_is_kept_in_half_the_room_and_looks_the_same(figures):
    figure, (ax,) = figures.panels()
    ax.plot(np.sin(np.linspace(0, 9, 200)), label="a loss")
    ax.legend()
    kept, whole, share = kept_and_whole(figures, figure)
    assert share < 0.5
    change = np.asarray(kept.convert("RGB"), float) - np.asarray(whole.convert("RGB"), float)
    assert np.abs(change).mean() < 0.1
    assert kept.info["class"] == "drawing"


@pytest.mark.parametrize("draw", ["imshow", "contourf", "pcolormesh"])
def test_a_scale_of_colours_is_no_drawing(figures, draw):
    """Turned over in the dark, it would be read the wrong way."""
    figure, (lines, ax) = figures.panels(1, 2)
    lines.plot([0, 1])
    getattr(ax, draw)(np.eye(4))
    assert "class" not in kept_and_whole(figures, figure)[0].info


def test_a_picture_of_many_colours_keeps_them(figures):
    figure, (ax,) = figures.panels()
    ax.imshow(np.random.RandomState(0).rand(256, 256, 3))
    kept, whole, _ = kept_and_whole(figures, figure)
    assert kept.tobytes() == whole.tobytes()


def test_a_notebook_keeps_what_it_draws_with_a_palette():
    draw = "import figures\nfigures.use_style()", "_ = figures.panels()"
    notebook = new_notebook(cells=[new_code_cell(source) for source in draw])
    NotebookClient(notebook, resources={"metadata": {"path": ROOT / "book"}}).execute()
    kept = base64.b64decode(notebook.cells[1].outputs[0]["data"]["image/png"])
    assert Image.open(io.BytesIO(kept)).mode == "P"
