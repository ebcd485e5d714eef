"""Draw the pictures of the front door into the folder that is named on the command line."""

import base64
import io
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))  # chapters import these modules by name

import matplotlib as mpl
import numpy as np
from matplotlib import pyplot as plt
from matplotlib.image import imsave

import evidence
import samples
from figures import SEQUENTIAL

TRAINED = {
    "ce": "cross entropy",
    "weighted_ce": "weighted cross entropy",
    "gap_map": "weight map",
    "dice": "Dice loss",
}

INK, PAPER = "#0a1733", "#ffffff"


def outlines(labels: np.ndarray) -> list[np.ndarray]:
    """The border of every object, as closed lines through (column, row)."""
    figure, ax = plt.subplots()
    lines: list[np.ndarray] = []
    for number in np.unique(labels[labels > 0]):
        inside = np.pad((labels == number).astype(float), 2)
        soft = sum(np.roll(inside, (dr, dc), (0, 1)) for dr in (-1, 0, 1) for dc in (-1, 0, 1)) / 9
        lines += [line - 1.5 for line in ax.contour(soft, [0.5]).allsegs[0] if len(line) > 2]
    plt.close(figure)
    return lines


def vector(picture: np.ndarray, lines: list[np.ndarray]) -> str:
    """One prediction with the outlines over it; sharp at every size."""
    rows, columns = picture.shape
    png = io.BytesIO()
    imsave(png, picture, cmap=SEQUENTIAL, vmin=0, vmax=1, format="png")
    image = base64.b64encode(png.getvalue()).decode()
    path = "".join("M" + " ".join(f"{x:.1f} {y:.1f}" for x, y in line) + "z" for line in lines)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {columns} {rows}" '
        f'width="{columns}" height="{rows}" preserveAspectRatio="xMidYMid slice">'
        f'<image width="{columns}" height="{rows}" href="data:image/png;base64,{image}"/>'
        f'<path d="{path}" fill="none" stroke="#fff" stroke-width=".7" stroke-linejoin="round"/>'
        "</svg>\n"
    )


def card(pictures: dict[str, np.ndarray], lines: list[np.ndarray], target: Path) -> None:
    """All of them in a row, 1200 by 630 pixels, as services show what a link leads to."""
    figure = plt.figure(figsize=(12, 6.3), dpi=100, facecolor=INK)
    figure.text(0.05, 0.86, "segloss", color="#f2b632", fontsize=30, weight="bold")
    figure.text(0.05, 0.74, "Losses for Image Segmentation", color=PAPER, fontsize=38)
    for position, (name, picture) in enumerate(pictures.items()):
        ax = figure.add_axes((0.05 + 0.2275 * position, 0.16, 0.2175, 0.2175 * 12 / 6.3))
        ax.imshow(picture, cmap=SEQUENTIAL, vmin=0, vmax=1)
        for line in lines:
            ax.plot(*line.T, color=PAPER, linewidth=1)
        ax.set(xlim=(-0.5, picture.shape[1] - 0.5), ylim=(picture.shape[0] - 0.5, -0.5))
        ax.set_axis_off()
        figure.text(0.05 + 0.2275 * position, 0.09, TRAINED[name], color=PAPER, fontsize=16)
    figure.savefig(target)


def draw(folder: Path) -> None:
    mpl.use("agg")
    folder.mkdir(parents=True, exist_ok=True)
    pictures = {loss: evidence.strip("nuclei", loss, 1000) for loss in TRAINED}
    lines = outlines(evidence.strip_of(samples.nuclei().instances[0].numpy()))
    for loss, picture in pictures.items():
        folder.joinpath(f"{loss}.svg").write_text(vector(picture, lines), encoding="utf-8")
    card(pictures, lines, folder / "card.png")


if __name__ == "__main__":
    draw(Path(sys.argv[1]))
