"""How a kernel is started: over how many programs, on which device, with which strides."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

# Values in the registers of a program, about: logits of some pixels and all classes.
TILE = 2048

# With more classes these would fill a program; it takes them in several tiles then.
MOST_CLASSES = 256


def launch(kernel: Any, programs: int, on: Tensor, *arguments: Any, **constants: Any) -> None:
    """Start one on the device of `on`, which need not be the current one."""
    device = torch.cuda.device_of(on)  # type: ignore[no-untyped-call]
    with device:  # and nothing is rounded in another way than it is written
        kernel[(programs,)](*arguments, **constants, enable_fp_fusion=False)


def softmax_tiles(classes: int) -> dict[str, int]:
    """How many classes and pixels are a tile; both are powers of two."""
    whole = power_of_two(classes)
    if whole > MOST_CLASSES:
        return {"TILE": 32, "BLOCK": TILE // 32}
    return {"TILE": whole, "BLOCK": max(16, min(1024, TILE // whole))}


def power_of_two(count: int) -> int:
    """The smallest one that is not below."""
    return 1 << max(0, count - 1).bit_length()


def strides(x: Tensor | None, shape: torch.Size | tuple[int, ...]) -> tuple[int, ...]:
    """Of a tensor that is repeated to this shape; zeros where there is none."""
    return (0,) * len(shape) if x is None else x.expand(shape).stride()
