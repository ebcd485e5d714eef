"""Refusals in words: every message names the argument, what was expected and what came."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor


def expect(ok: bool, name: str, expected: str, shape: torch.Size) -> None:
    if not ok:
        raise ValueError(f"{name}: expected {expected}, got shape {tuple(shape)}")


def expect_shape(name: str, x: Tensor, *shapes: torch.Size) -> None:
    """One of these shapes. Under torch.compile they may be symbols, which no message can show."""
    if not any(x.shape == shape for shape in shapes):
        expect(False, name, "shape " + " or ".join(f"{tuple(shape)}" for shape in shapes), x.shape)


def check_bool(name: str, value: object) -> None:
    if not isinstance(value, bool):
        raise TypeError(f"{name}: expected a bool, got {value!r}")


def check_choice(name: str, value: object, choices: Sequence[object]) -> None:
    if value not in choices:
        expected = ", ".join(repr(choice) for choice in choices)
        raise ValueError(f"{name}: expected one of {expected}, got {value!r}")


def refuse(name: str, value: object, mode: str) -> None:
    """An option that this mode does not have."""
    if value is not None:
        raise ValueError(f"{name}: expected None in mode {mode!r}, got {value!r}")


def check_count(name: str, value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name}: expected an int, got {value!r}")
    if value < 1:
        raise ValueError(f"{name}: expected at least 1, got {value}")
    return value


def check_number(name: str, value: object, *, low: float = 0, high: float = math.inf) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"{name}: expected a number, got {value!r}")
    if not (low <= value <= high and value < math.inf):
        raise ValueError(f"{name}: expected a number in {_interval(low, high)}, got {value}")


def check_tensor(name: str, value: object, device: torch.device | None = None) -> Tensor:
    if not isinstance(value, Tensor):
        raise TypeError(f"{name}: expected a tensor, got {type(value).__name__}")
    if device is not None and value.device != device:
        raise ValueError(f"{name}: expected a tensor on {device}, got one on {value.device}")
    return value


def check_ids(name: str, ids: Tensor, valid: Tensor | None, classes: float) -> None:
    """Class ids below `classes` on the valid pixels."""
    ids = ids.long()
    if valid is not None:
        if not peek((((ids < 0) | (ids >= classes)) & valid).any()):
            return
        ids = torch.where(valid, ids, 0)
    check_range(name, ids, 0, classes - 1, "class ids")


def check_range(name: str, x: Tensor, low: float, high: float, what: str = "values") -> None:
    if x.numel() == 0 or x.dtype == torch.bool:
        return
    smallest, largest = (peek(end) for end in torch.aminmax(x))
    if smallest is None or largest is None:
        return
    if not (low <= smallest and largest <= high and math.isfinite(largest)):  # also true of NaN
        raise ValueError(
            f"{name}: expected {what} in {_interval(low, high)}, "
            f"got values from {smallest} to {largest}"
        )


def _interval(low: float, high: float) -> str:
    return f"[{low}, {high}" + ("]" if math.isfinite(high) else ")")


def peek(x: Tensor) -> float | None:
    """The value of a scalar tensor, which waits for a GPU.

    None where there is none to look at: under torch.compile, torch.export and vmap, and on fake
    and meta tensors.
    """
    if torch.compiler.is_compiling():
        return None
    try:
        return x.item()
    except RuntimeError:
        return None


def check_class_vector(
    name: str, value: object, device: torch.device, classes: int, high: float = math.inf
) -> Tensor:
    """A tensor (C,) of non-negative numbers."""
    value = check_tensor(name, value, device)
    expect_shape(name, value, torch.Size([classes]))
    check_range(name, value, 0, high)
    return value
