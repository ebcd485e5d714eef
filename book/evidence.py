"""What a trained network makes of the losses, read from data/evidence.json and the files beside it.

The experiment is benchmarks/evidence.py: one small U-Net, six tasks, every loss, three seeds, 70
test photographs. A chapter needs two lines, and a third prints what its sentences say::

    found = comparison("nuclei", loss, score="iou")
    _ = training_panel(found)
    print(found)

The tasks are nuclei, border, three, centres, flipped (the border, learned from labels of which one
in twenty is wrong) and edges (nuclei once more, with losses and measures of the edge);
``results()["runs"]`` has every score. Curves and pictures lie in a file for each task and loss, and
a notebook that is handed out brings those whose task and loss its own code names: "ce", too, then.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from matplotlib.figure import Figure
from matplotlib.image import imread

from figures import COLORS, outline, panels, show_probability

DATA = Path(__file__).parent / "data"

#: How a mask was made, and how the names of its scores end.
READINGS = {
    "1/2": ("_half", ""),  # cut at p = 1/2
    "tuned": ("_val",),  # cut where the IoU of the validation photographs is best
    "watershed": ("_watershed",),  # cut at 1/2, then along the valleys of the distance map
}

#: The scores that the watershed is for.
OF_OBJECTS = ("object_f1", "merges")


@cache
def results() -> dict[str, Any]:
    """What was done, and the scores: about, runs."""
    found: dict[str, Any] = json.loads((DATA / "evidence.json").read_text(encoding="utf-8"))
    return found


def losses(task: str) -> list[str]:
    """The losses that were trained on a task."""
    return list(dict.fromkeys(run["loss"] for run in results()["runs"] if run["task"] == task))


def names(text: str) -> list[str]:
    """Tasks and losses of which only scores are read: in one string nobody takes them for files
    that a notebook has to bring along."""
    return text.split()


def steps(task: str, *names: str) -> list[int]:
    """The numbers of steps after which all these losses were read."""
    each = [
        {run["step"] for run in results()["runs"] if (run["task"], run["loss"]) == (task, name)}
        for name in names
    ]
    return sorted(set.intersection(*each))


@cache
def details(task: str, loss: str) -> dict[str, Any]:
    """What is drawn of a loss: its curves, and the step after which there is a picture."""
    path = DATA.joinpath("evidence", f"{task}.{loss}.json")
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


def curves(task: str, loss: str, step: int) -> list[dict[str, Any]]:
    """One record for each seed of what is drawn."""
    return [r for r in details(task, loss)["curves"] if r["step"] == step]


def runs(task: str, loss: str, step: int) -> list[dict[str, Any]]:
    """One record for each seed of its scores."""
    wanted = (task, loss, step)
    found = [r for r in results()["runs"] if (r["task"], r["loss"], r["step"]) == wanted]
    if not found:
        raise KeyError(f"no runs of {loss!r} on {task!r} with {step} steps; {steps(task, loss)}")
    return found


def values(task: str, loss: str, name: str, step: int) -> np.ndarray:
    """One score, one number for each seed."""
    return np.array([run[name] for run in runs(task, loss, step)], dtype=float)


def strip(task: str, loss: str, step: int) -> np.ndarray:
    """The probabilities of seed 0 on a corner of the book's photograph, in [0, 1]."""
    pictured = details(task, loss)["pictured"]
    if step != pictured:
        raise KeyError(f"no picture of {loss!r} on {task!r} after {step} steps, only {pictured}")
    picture: np.ndarray = imread(DATA.joinpath("evidence", f"{task}.{loss}.png"))
    return picture


def strip_of(photograph: np.ndarray) -> np.ndarray:
    """The same corner of an image or label image of the book, (256, 256)."""
    where = results()["about"]["strip"]
    top, left, side = where["top"], where["left"], where["side"]
    return photograph[top : top + side, left : left + side]


class Row(NamedTuple):
    """One score of one loss: a number for each seed."""

    loss: str
    reading: str  #: a key of READINGS, or "" for a score without a threshold
    values: np.ndarray


class Comparison(NamedTuple):
    """A loss, or several, and cross entropy on one task; what `training_panel` draws."""

    task: str
    losses: tuple[str, ...]  #: cross entropy is the last
    step: int
    score: str
    rows: list[Row]

    def row(self, loss: str, reading: str = "") -> Row:
        return next(row for row in self.rows if row[:2] == (loss, reading))

    def __str__(self) -> str:
        """A table of the mean over the seeds, with the lowest and the highest."""
        head = f"{self.task}, {self.step} steps, {len(self.rows[0].values)} seeds: {self.score}"
        width = max(14, *(len(name) for name in self.losses))
        return "\n".join(
            [head, *(f"{r.loss:{width}s} {r.reading:9s} {spread(r)}" for r in self.rows)]
        )


def spread(row: Row | Sequence[float]) -> str:
    """Mean (lowest to highest): three digits of a share, whole numbers of a count, one digit after
    the point of a distance."""
    x = np.asarray(row.values if isinstance(row, Row) else row)
    digits = 3 if x.max() <= 1 else 0 if (x == x.round()).all() else 1
    return f"{x.mean():.{digits}f} ({x.min():.{digits}f} to {x.max():.{digits}f})"


def apart(a: Row, b: Row) -> bool:
    """Whether the ranges over the seeds do not overlap; if they do, nothing is claimed."""
    return bool(a.values.min() > b.values.max() or b.values.min() > a.values.max())


def difference(
    task: str, loss: str, other: str = "ce", reading: str = "tuned", step: int | None = None
) -> tuple[float, float, float]:
    """The IoU of a photograph under `loss` less that under `other`: mean and 95 % interval.

    The interval is that of a bootstrap over the 70 test photographs and over the seeds of both. If
    it holds 0, no difference is claimed.
    """
    step = step or steps(task, loss, other)[-1]
    name = f"iou_images{READINGS[reading][0]}"
    a, b = (np.array([r[name] for r in curves(task, x, step)]) for x in (loss, other))
    draw = np.random.RandomState(0)  # its stream is frozen
    seeds, images = a.shape
    means = []
    for _ in range(2000):
        chosen = draw.randint(images, size=images)
        first, second = (x[draw.randint(seeds, size=seeds)][:, chosen].mean() for x in (a, b))
        means.append(first - second)
    low, high = np.percentile(means, [2.5, 97.5])
    return float(a.mean() - b.mean()), float(low), float(high)


def comparison(
    task: str, loss: str | Sequence[str], score: str = "iou", step: int | None = None
) -> Comparison:
    """Compare a loss, or several, with cross entropy.

    ``score`` is "iou", "dice", "precision" or "recall", each at 1/2 and at the threshold tuned on
    the validation photographs; on "nuclei" also "object_f1" and "merges", there and after the
    watershed; or a score without a threshold, "ap" or "ece"; or, on "edges", a measure of the masks
    cut at 1/2: "boundary_iou", "surface_dice" or "hd95". ``step`` is that of the longest runs that
    all of the losses have.
    """
    names = (loss,) if isinstance(loss, str) else tuple(loss)
    names = (*(name for name in names if name != "ce"), "ce")
    if not 1 < len(names) < 4:
        raise ValueError(f"loss: expected one or two names beside cross entropy, got {loss!r}")
    if unknown := set(names) - set(losses(task)):
        raise KeyError(f"no runs of {sorted(unknown)} on {task!r}, only of {losses(task)}")
    step = step or steps(task, *names)[-1]
    rows = []
    for name in names:
        there = runs(task, name, step)[0]
        found = [
            (reading, score + ending)
            for reading, endings in READINGS.items()
            for ending in endings
            if score + ending in there and (reading != "watershed" or score in OF_OBJECTS)
        ]
        if len(found) == 1:  # a score without a threshold, or with 1/2 alone
            found = [("", score)]
        rows += [Row(name, reading, values(task, name, key, step)) for reading, key in found]
    if not rows:
        raise KeyError(f"no score {score!r} on {task!r}, only {list(there)[4:]}")
    return Comparison(task, names, step, score, rows)


#: Of the losses in a panel, cross entropy last: colour, line, mark.
_LINES = {
    1: [("loss", "-", "o"), ("baseline", "--", "s")],
    2: [("loss", "-", "o"), ("second", "-.", "D"), ("baseline", "--", "s")],
}

_FILLS = {"": "full", "1/2": "full", "tuned": "none", "watershed": "left"}

#: What the scores are called in a picture.
_SCORES = {
    "iou": "IoU",
    "dice": "Dice",
    "ap": "average precision",
    "ece": "calibration error",
    "object_f1": "object $F_1$",
    "merges": "merged nuclei",
    "boundary_iou": "boundary IoU",
    "surface_dice": "surface Dice",
    "hd95": "HD95 (pixels)",
}


def training_panel(found: Comparison) -> Figure:
    """Draw what training with a loss gives beside cross entropy; see `comparison`.

    Above left the curves of precision against recall, a line for each seed, with the points at 1/2
    (filled) and at the threshold tuned on the validation photographs (open). Above right the score:
    a mark for each seed, a bar from the lowest to the highest; half filled is after the watershed.
    Below, one corner of the book's photograph under the first loss and under cross entropy, with
    the outlines of the annotation.
    """
    styles = dict(zip(found.losses, _LINES[len(found.losses) - 1], strict=True))
    figure, (left, right, *below) = panels(2, 2, 6.4)
    for loss, (colour, line, mark) in styles.items():
        colour, label = COLORS[colour], loss
        for scores, curve in zip(
            runs(found.task, loss, found.step),
            curves(found.task, loss, found.step),
            strict=True,
        ):
            precision = curve["precisions"]
            recall = np.arange(1, len(precision) + 1) / len(precision)
            left.plot(recall, precision, line, color=colour, linewidth=1.4, label=label)
            label = "_"
            for point, fill in (("half", "full"), ("val", "none")):
                place = scores[f"recall_{point}"], scores[f"precision_{point}"]
                left.plot(*place, mark, color=colour, fillstyle=fill)
    left.set(xlabel="recall", ylabel="precision", xlim=(0, 1), ylim=(0, 1.02))
    left.legend(loc="lower left", fontsize=11)

    for place, row in enumerate(found.rows):
        colour, _, mark = styles[row.loss]
        ends = [row.values.min(), row.values.max()]
        right.plot(ends, [place, place], color=COLORS[colour], linewidth=3)
        right.plot(
            row.values,
            [place] * len(row.values),
            mark,
            color=COLORS[colour],
            markerfacecoloralt="white",
            fillstyle=_FILLS[row.reading],
        )
        text = f"{row.loss}, {row.reading}" if row.reading else row.loss
        right.annotate(text, (0.03, place - 0.32), xycoords=("axes fraction", "data"), fontsize=11)
    right.set(ylim=(len(found.rows) - 0.5, -1), yticks=[])
    right.set_xlabel(_SCORES.get(found.score, found.score))
    right.margins(x=0.15)

    labels = strip_of(imread(DATA / "nuclei" / "nuclei_10_label.png") * 255)
    for ax, loss in zip(below, (found.losses[0], "ce"), strict=True):
        show_probability(ax, strip(found.task, loss, found.step), loss)
        outline(ax, labels, "white", 0.8)
    return figure
