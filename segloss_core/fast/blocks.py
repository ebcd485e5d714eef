"""The blocks that a kernel goes over: so small that they stay in a core's cache."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import cached_property

import torch
from torch import Tensor

from ..inputs import HUGE, Mode, Pixels
from .dispatch import on_cpu

# A smaller block costs more calls. With several classes most temporaries have but one value for a
# pixel, so a block may be larger.
BLOCK: dict[Mode, int] = {"binary": 2**17, "multilabel": 2**17, "multiclass": 2**18}  # elements

Slices = tuple[slice, slice, slice]


class Block:
    """Some pixels of an image, or several small images, with all channels.

    It gives what `Pixels` gives, by the same names. Void pixels are most often finite, which a sum
    tells: then a factor of 0 hides them, and is cheaper than a choice.
    """

    def __init__(self, pixels: Pixels, at: Slices) -> None:
        self.pixels, self.at = pixels, at
        self.valid = None if pixels.valid is None else pixels.valid[at]

    @cached_property
    def keep(self) -> Tensor | None:
        """`valid` as numbers."""
        if self.valid is None:
            return None
        return self.valid.view(torch.uint8).to(self.pixels.input.dtype)  # faster than from bool

    @cached_property
    def labels(self) -> Tensor:
        """(b, 1, n) class ids, or (b, C, n); 0 under void."""
        y = self.pixels.target[self.at]
        if self.pixels.has_ids:
            return y.long() if self.valid is None else y.long() * self.valid
        return self.select(y.to(self.pixels.input.dtype))

    @property
    def logits(self) -> Tensor:
        """(b, C, n), finite under void."""
        x = self.pixels.input[self.at]
        return x if self.valid is None or math.isfinite(x.sum()) else torch.where(self.valid, x, 0)

    @property
    def centred(self) -> Tensor:
        """(b, C, n), logits less the largest of a pixel; a new tensor."""
        x = self.logits
        largest = x.amax(1, keepdim=True)
        if largest.amax() == torch.inf:  # less itself it would be NaN
            x = x.nan_to_num(torch.nan, HUGE, -HUGE)
            largest = x.amax(1, keepdim=True)
        return x - largest

    @property
    def weight(self) -> Tensor | None:
        """What multiplies the loss of a pixel, 0 under void; None stands for 1."""
        weight = self.pixels.weight
        if weight is None:
            return self.keep
        return self.select(weight[self.at].to(self.pixels.input.dtype))

    def probabilities(self, out: Tensor) -> Tensor:
        """Into `out`, 0 under void pixels."""
        if self.pixels.mode == "multiclass":
            e = self.centred.exp_()
            every = e.sum(1, keepdim=True)
            share = every.reciprocal() if self.keep is None else self.keep / every
            return torch.mul(e, share, out=out)
        torch.sigmoid(self.logits, out=out)
        return out if self.keep is None else out.mul_(self.keep)

    def select(self, x: Tensor) -> Tensor:
        """`x` on valid pixels and 0 on void ones, whatever `x` holds there."""
        if self.valid is None or self.keep is None:
            return x
        return x * self.keep if math.isfinite(x.sum()) else torch.where(self.valid, x, 0)

    def own_images(self, x: Tensor) -> Tensor:
        """The rows of these images of a tensor (B, ...), or the one row for all of them."""
        return x[self.at[0]] if len(x) > 1 else x


def blocks(pixels: Pixels, parts: int = 1) -> Iterator[Block]:
    """In so many parts each, where a kernel has many temporaries."""
    size = BLOCK[pixels.mode] // parts * torch.get_num_threads()  # each takes its share of a block
    return (Block(pixels, at) for at in block_slices(pixels.input.shape, size))


def tiles(pixels: Pixels) -> list[Pixels]:
    """On a CPU tiles whose targets fit a cache, for a sum of something that is as large."""
    if not on_cpu(pixels.target):
        return [pixels]
    return [pixels.cut(at) for at in block_slices(pixels.target.shape, BLOCK["binary"])]


def block_slices(shape: torch.Size, size: int) -> Iterator[Slices]:
    """Where the blocks of at most about `size` elements lie, all of a tensor (B, C, N)."""
    images, channels, length = shape
    count = max(1, math.ceil(length * channels / size))  # in an image
    width = max(1, math.ceil(length / count))  # the last is about as long as the others
    height = max(1, size // (channels * width)) if count == 1 else 1
    for image in range(0, images, height):
        for pixel in range(0, length, width):
            yield slice(image, image + height), slice(None), slice(pixel, pixel + width)
