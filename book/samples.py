"""The two images of the book: a toy image and a photograph of cell nuclei.

The toy image is drawn by a formula, so that every pixel's story is known: which disc the model
finds, which it misses, where it raises a false alarm. The photograph keeps the book honest.

Every tensor has the shape ``(1, height, width)``: a batch of one, as the losses take it. Real
numbers are float64, so that a printed digit is the formula's and not the rounding's.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from matplotlib.image import imread
from torch import Tensor
from torch.nn.functional import avg_pool2d

DATA = Path(__file__).parent / "data"

#: The toy image is SIZE x SIZE pixels.
SIZE = 64

#: Its objects: name -> (row, column, radius). A and B are one pixel apart.
DISCS = {
    "A": (20, 18, 2.5),
    "B": (20, 24, 2.5),
    "C": (44, 40, 2.5),
    "D": (47, 14, 1.0),
}

#: The gap between A and B, an index: the five pixels of the column between them. The imperfect
#: model fills four; emptying all five parts the two discs, emptying the middle three does not.
GAP = (0, slice(18, 23), 21)

#: What the imperfect model answers: (row, column, height of the logit, spread in pixels).
#: It merges A and B, sees C one and a half pixels too low, misses D, and finds a fifth disc
#: where there is none.
RESPONSES = {
    "A": (20, 18, 9.0, 2.2),
    "B": (20, 24, 9.0, 2.2),
    "C": (45.5, 41, 9.0, 2.2),
    "D": (47, 14, 0.5, 1.5),
    "false alarm": (14, 48, 7.5, 1.7),
}

#: The logit of the imperfect model where it sees nothing: p is about one per cent.
BACKGROUND_LOGIT = -4.5

#: Standard deviation of the camera's noise in the toy image, as a share of the full scale.
GRAIN = 0.2

#: The one-feature model of the photograph, z = SLOPE * (local mean - THRESHOLD). Both numbers
#: come out of the descent in the chapter on cross entropy.
SLOPE = 36.3
THRESHOLD = 0.216


class Sample(NamedTuple):
    """An image with its annotation and the logits of a model that is good, not perfect."""

    image: Tensor  #: intensities in [0, 1]
    y: Tensor  #: target: 1.0 on an object, 0.0 on the background
    instances: Tensor  #: integer label of the object in each pixel, 0 = background
    z: Tensor  #: logits


def local_mean(image: Tensor, size: int = 3) -> Tensor:
    """Return the mean over a ``size`` x ``size`` window (odd); at the rim, over what is inside."""
    return avg_pool2d(image, size, stride=1, padding=size // 2, count_include_pad=False)


def _squared_distance(row: float, column: float) -> np.ndarray:
    rows, columns = np.mgrid[:SIZE, :SIZE]
    return (rows - row) ** 2 + (columns - column) ** 2


def _batch(array: np.ndarray) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(array))[None]


def toy() -> Sample:
    """Draw the toy image: four small discs, 1 to 2 per cent of 64 x 64 pixels.

    The result is the same on every machine: the only random numbers are those of NumPy's legacy
    generator, whose stream is frozen.
    """
    noise = np.random.RandomState(0)
    instances = np.zeros((SIZE, SIZE), dtype=np.int64)
    for number, (row, column, radius) in enumerate(DISCS.values(), start=1):
        instances[_squared_distance(row, column) <= radius**2] = number

    logits = np.full((SIZE, SIZE), BACKGROUND_LOGIT)
    for row, column, height, spread in RESPONSES.values():
        logits += height * np.exp(-_squared_distance(row, column) / (2 * spread**2))
    logits += 0.4 * noise.standard_normal((SIZE, SIZE))

    # What a camera in low light would see: the discs out of focus, D faint, a bright speck where
    # the false alarm is, and grain: hundreds of background pixels outshine half of the foreground.
    brightness = np.array([0.0, 0.5, 0.5, 0.5, 0.4])[instances]
    brightness[_squared_distance(14, 48) <= 1.0] = 0.4
    grain = _batch(GRAIN * noise.standard_normal((SIZE, SIZE)))
    image = (0.25 + local_mean(_batch(brightness)) + grain).clamp(0, 1)

    labels = _batch(instances)
    return Sample(image, (labels > 0).double(), labels, _batch(logits))


def nuclei() -> Sample:
    """Read the photograph: fluorescent nuclei, 256 x 256 pixels (see data/ATTRIBUTION.md).

    The image is divided by its brightest pixel. The logits are those of the simplest model there
    is: one feature, the mean intensity of a pixel's 3 x 3 neighbourhood, against a threshold.
    """
    image = imread(DATA / "nuclei" / "nuclei_10_image.png").astype(np.float64)
    # Matplotlib returns 8-bit PNG as float32 in [0, 1]; a label is an integer again after * 255.
    labels = np.rint(imread(DATA / "nuclei" / "nuclei_10_label.png") * 255).astype(np.int64)
    instances = _batch(labels)
    picture = _batch(image / image.max())
    z = SLOPE * (local_mean(picture) - THRESHOLD)
    return Sample(picture, (instances > 0).double(), instances, z)
