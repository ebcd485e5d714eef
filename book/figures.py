"""The one style of every figure: colours with a fixed meaning, text that a phone can show.

Call `use_style` once, in the first cell of a chapter. Importing this module changes nothing.

A figure is `WIDTH` inches wide. On a phone that is about 350 pixels, so the text is large and no
figure has more than two panels side by side. Labels are symbols and short English terms, since
both editions show the same picture; what a figure says stands in its caption.
"""

from __future__ import annotations

import io
from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
from IPython import get_ipython
from matplotlib.axes import Axes
from matplotlib.colorbar import Colorbar
from matplotlib.colors import LinearSegmentedColormap, to_rgb
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from numpy.typing import ArrayLike
from PIL import Image
from PIL.PngImagePlugin import PngInfo

#: Width of every figure in inches.
WIDTH = 6.0

#: One thing, one colour, in every chapter (Okabe and Ito's palette, safe for colour-blind eyes).
COLORS = {
    "positive": "#D55E00",  # orange: pixels with y = 1
    "negative": "#0072B2",  # blue: pixels with y = 0
    "loss": "#009E73",  # green, solid: the loss of the chapter
    "second": "#CC79A7",  # purple, dash-dotted: its second form
    "gradient": "#CC79A7",  # the same purple, by its old name
    "baseline": "#555555",  # grey, dashed: what the chapter's loss is compared with
    "highlight": "#E69F00",  # amber: the one thing that the text points at
}

#: Signed gradients. Orange is negative: descent raises the logit, as pixels with y = 1 ask;
#: blue is positive: descent lowers it.
SIGNED = LinearSegmentedColormap.from_list(
    "signed", ["#6B2F00", COLORS["positive"], "#FFFFFF", COLORS["negative"], "#00304D"]
)

#: Probabilities, and everything else that starts at 0.
SEQUENTIAL = "cividis"

#: Photographs and masks.
GREY = "gray"


def use_style() -> None:
    """Set matplotlib's defaults for the session, and how a notebook keeps figures: the only global
    effects of this module."""
    if (shell := get_ipython()) is not None:
        plt.switch_backend(plt.get_backend())  # loaded now, for it brings a way of its own
        shell.display_formatter.formatters["image/png"].for_type(Figure, light_png)
    plt.rcdefaults()
    plt.rcParams.update(
        {
            "figure.figsize": (WIDTH, 3.6),
            "figure.dpi": 170,
            "figure.facecolor": "white",
            "figure.constrained_layout.use": True,
            "savefig.facecolor": "white",
            "font.size": 12,
            "axes.labelsize": 13,
            "axes.titlesize": 12,
            "axes.titlelocation": "left",
            "axes.grid": True,
            "axes.axisbelow": True,
            "axes.unicode_minus": True,
            "grid.color": "#DDDDDD",
            "grid.linewidth": 0.8,
            "lines.linewidth": 2.4,
            "legend.frameon": True,
            "legend.framealpha": 0.9,
            "legend.edgecolor": "#DDDDDD",
            "image.cmap": SEQUENTIAL,
            "image.interpolation": "nearest",
            "mathtext.fontset": "dejavusans",
        }
    )


def light_png(figure: Figure) -> bytes:
    """The figure as a PNG of a third of the size: with a palette, where 256 colours will do.

    Where they will not, as in photographs under a colour map, it keeps all of them. A figure of
    lines says so in its file (`drawing`): a page in the dark may show it white on black.
    """
    file, light = io.BytesIO(), io.BytesIO()
    figure.savefig(file, format="png", bbox_inches="tight")
    picture = Image.open(file).convert("RGB")
    reduced = picture.quantize(256, dither=Image.Dither.NONE)
    change = np.abs(np.asarray(picture, float) - np.asarray(reduced.convert("RGB"), float))
    if change.mean() > 0.1:  # of 255
        return file.getvalue()
    about = PngInfo()
    if _is_drawing(figure):
        about.add_text("class", "drawing")
    reduced.save(light, format="png", optimize=True, pnginfo=about)
    return light.getvalue()


def _is_drawing(figure: Figure) -> bool:
    """Whether no colour of a figure is read from a scale of colours, or is that of a picture."""
    parts = [part for ax in figure.axes for part in (*ax.images, *ax.collections)]
    return all(part.get_array() is None for part in parts)


def panels(
    rows: int = 1,
    columns: int = 1,
    height: float = 3.6,
    *,
    sharex: bool = False,
    sharey: bool = False,
) -> tuple[Figure, list[Axes]]:
    """Open a figure of the book's width; ``height`` is that of the whole, in inches.

    Returns the figure and its axes as a flat list, row by row.
    """
    if columns > 2:
        raise ValueError(f"at most two panels fit side by side on a phone, not {columns}")
    figure, axes = plt.subplots(
        rows, columns, figsize=(WIDTH, height), squeeze=False, sharex=sharex, sharey=sharey
    )
    return figure, list(axes.flat)


def logit_panels(height: float = 5.6) -> tuple[Figure, list[Axes]]:
    """Open the book's standard pair: a loss above, its gradient below, on one logit axis."""
    figure, (top, bottom) = panels(2, 1, height, sharex=True)
    top.set_ylabel(r"loss $\ell(z)$")
    bottom.set_ylabel(r"gradient $\partial\ell/\partial z$")
    bottom.set_xlabel(r"logit $z$")
    bottom.axhline(0, color="black", linewidth=0.8)
    return figure, [top, bottom]


def _plane(values: ArrayLike) -> np.ndarray:
    """Return the one image in ``values``: dimensions of length 1 are dropped."""
    if hasattr(values, "detach"):
        values = values.detach().cpu().numpy()
    plane = np.squeeze(np.asarray(values))
    if plane.ndim != 2:
        raise ValueError(f"expected one image, got an array of shape {np.shape(values)}")
    return plane


def _show(ax: Axes, values: ArrayLike, label: str, **style: object) -> AxesImage:
    picture = ax.imshow(_plane(values), **style)
    ax.set_title(label)
    ax.grid(False)
    ax.set_xticks([])
    ax.set_yticks([])
    return picture


def show_image(
    ax: Axes, image: ArrayLike, label: str = "", limit: float | None = None
) -> AxesImage:
    """Draw a photograph or a mask in grey: black is 0, white is ``limit`` or its largest value.

    A lower limit brightens a picture whose interesting part is dark.
    """
    return _show(ax, image, label, cmap=GREY, vmin=0, vmax=limit)


def show_probability(ax: Axes, p: ArrayLike, label: str = "") -> AxesImage:
    """Draw probabilities on the fixed scale from 0 to 1."""
    return _show(ax, p, label, cmap=SEQUENTIAL, vmin=0, vmax=1)


def show_gradient(
    ax: Axes, gradient: ArrayLike, label: str = "", limit: float | None = None
) -> AxesImage:
    """Draw signed values with white at 0; the scale is symmetric, ``-limit`` to ``limit``.

    Without ``limit`` it is the largest magnitude in the picture. Give the same limit to pictures
    that are compared.
    """
    values = _plane(gradient)
    if limit is None:
        limit = float(np.abs(values).max()) or 1.0
    return _show(ax, values, label, cmap=SIGNED, vmin=-limit, vmax=limit)


def show_mistakes(
    ax: Axes, predicted: ArrayLike, y: ArrayLike, label: str = "", legend: str = ""
) -> AxesImage:
    """Colour what a mask finds, makes up and misses: TP grey, FP blue, FN orange.

    ``legend`` is its place, such as "upper right"; without one there is none.
    """
    found, there = _plane(predicted) > 0, _plane(y) > 0
    kinds = (
        ("TP", found & there, "#A8A8A8"),
        ("FP", found & ~there, COLORS["negative"]),
        ("FN", ~found & there, COLORS["positive"]),
    )
    colors = np.ones((*found.shape, 3))
    for name, where, color in kinds:
        colors[where] = to_rgb(color)
        ax.plot([], [], "s", color=color, label=name)
    picture = ax.imshow(colors)
    ax.set_title(label)
    ax.grid(False)
    ax.set_xticks([])
    ax.set_yticks([])
    if legend:
        ax.legend(loc=legend, handletextpad=0.1, borderpad=0.3, labelspacing=0.2)
    return picture


def outline(
    ax: Axes, labels: ArrayLike, color: str = "black", width: float = 1.0, style: str = "-"
) -> None:
    """Draw the border of a mask, or of every object of a label image, exactly along the pixels."""
    inside = np.pad(_plane(labels), 1)
    lines: list[tuple[Sequence[float], Sequence[float]]] = []
    # An edge to the right of pixel (r, c) runs down, one below it runs across.
    for r, c in zip(*np.nonzero(inside[:, 1:] != inside[:, :-1]), strict=True):
        lines.append(((c - 0.5, c - 0.5), (r - 1.5, r - 0.5)))
    for r, c in zip(*np.nonzero(inside[1:, :] != inside[:-1, :]), strict=True):
        lines.append(((c - 1.5, c - 0.5), (r - 0.5, r - 0.5)))
    xs = [x for line in lines for x in (*line[0], np.nan)]
    ys = [y for line in lines for y in (*line[1], np.nan)]
    ax.plot(xs, ys, color=color, linewidth=width, linestyle=style, solid_capstyle="projecting")


def zoom(ax: Axes, rows: tuple[int, int], columns: tuple[int, int]) -> None:
    """Show only the pixels of these rows and columns (first, last)."""
    ax.set_xlim(columns[0] - 0.5, columns[1] + 0.5)
    ax.set_ylim(rows[1] + 0.5, rows[0] - 0.5)


def color_scale(
    figure: Figure, picture: AxesImage, axes: Axes | Sequence[Axes], label: str = ""
) -> Colorbar:
    """Put the scale of ``picture`` under ``axes``; give a row of axes to share one scale."""
    wide = 0.9 if isinstance(axes, Axes) else 0.6
    aspect = 18 if isinstance(axes, Axes) else 26
    return figure.colorbar(
        picture, ax=axes, label=label, orientation="horizontal", shrink=wide, aspect=aspect
    )
