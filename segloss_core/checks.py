"""Refusals in words: the argument, what was expected, what came, and the usual remedy."""

from __future__ import annotations

import math
import numbers
import os
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import Any
from weakref import WeakSet

import torch
from torch import Tensor

# Values of a tensor on a GPU are known only when it has caught up. Nobody waits for that, unless
# "now" was said before Python started; "0" trusts the data everywhere.
CHECK_VALUES = os.environ.get("SEGLOSS_CHECK_VALUES", "1")

# Devices that assert when they get there; the meta device, to count what that asks of them.
LATER = ("cuda", "meta")

# Of numbers that options are: squares of larger ones would overflow float32.
LARGEST = 1e18

# One number for each class, as a configuration file has it or as a buffer.
Vector = Tensor | Sequence[float]


def expect(ok: bool, name: str, expected: str, shape: torch.Size, remedy: str = "") -> None:
    if not ok:
        raise ValueError(_message(name, expected, f"shape {tuple(shape)}", remedy))


def expect_shape(name: str, x: Tensor, *shapes: torch.Size, remedy: str = "") -> None:
    """One of these shapes. Under torch.compile they may be symbols, which no message can show."""
    if not any(x.shape == shape for shape in shapes):
        expected = "shape " + " or ".join(f"{tuple(shape)}" for shape in dict.fromkeys(shapes))
        expect(False, name, expected, x.shape, remedy)


def _message(name: str, expected: str, came: str, remedy: str = "") -> str:
    return f"{name}: expected {expected}, got {came}" + (f" ({remedy})" if remedy else "")


def check_bool(name: str, value: object) -> None:
    if not isinstance(value, bool):
        raise TypeError(_message(name, "a bool", f"{value!r}"))


def check_choice(name: str, value: object, choices: Sequence[str]) -> None:
    if not isinstance(value, str) or value not in choices:
        expected = "one of " + ", ".join(repr(choice) for choice in choices)
        raise ValueError(_message(name, expected, f"{value!r}"))


def refuse(name: str, value: object, mode: str, remedy: str = "") -> None:
    """An option that this mode does not have."""
    if value is not None:
        raise ValueError(_message(name, f"None in mode {mode!r}", f"{value!r}", remedy))


def check_int(name: str, value: object, remedy: str = "") -> int:
    """A whole number, numpy's too, as Python's own."""
    if type(value) is not int:
        if isinstance(value, bool) or not isinstance(value, numbers.Integral):
            raise TypeError(_message(name, "an int", f"{value!r}", remedy))
        value = int(value)
    if not -(2**63) <= value < 2**63:
        raise ValueError(_message(name, "an int of 64 bits", f"{value}"))
    return value


def check_count(name: str, value: object) -> int:
    value = check_int(name, value)
    if value < 1:
        raise ValueError(_message(name, "at least 1", f"{value}"))
    return value


def check_number(
    name: str, value: object, *, low: float = 0, high: float = math.inf, remedy: str = ""
) -> float:
    """A real number, numpy's too, as Python's own."""
    if type(value) is not int and type(value) is not float:
        if isinstance(value, bool) or not isinstance(value, numbers.Real):
            raise TypeError(_message(name, "a number", f"{value!r}", remedy))
        value = float(value)
    if not low <= value <= min(high, LARGEST):
        expected = f"a number in {_interval(low, min(high, LARGEST))}"
        raise ValueError(_message(name, expected, f"{value}", remedy))
    return value


def check_positive(name: str, value: object, high: float = math.inf) -> float:
    value = check_number(name, value, high=high)
    if value == 0:
        raise ValueError(_message(name, "a positive number", "0"))
    return value


def check_tensor(name: str, value: object, device: torch.device | None = None) -> Tensor:
    """A plain tensor of numbers, and on this device."""
    if not isinstance(value, Tensor):
        raise TypeError(_message(name, "a tensor", type(value).__name__, _tensor_in(value)))
    if not torch.compiler.is_compiling():
        _check_kind(name, value)
    if device is not None and value.device != device:
        remedy = f"{name}.to({str(device)!r})"
        raise ValueError(_message(name, f"a tensor on {device}", f"one on {value.device}", remedy))
    return value


def _tensor_in(value: object) -> str:
    """How to get at the tensor that was meant."""
    if isinstance(value, dict):
        return "the tensor in it, as in output['out']"
    if isinstance(value, (tuple, list)):
        inside = any(isinstance(x, Tensor) for x in value)
        return "one of its tensors, as in output[0]" if inside else "torch.tensor(...)"
    return "torch.from_numpy(...)" if type(value).__module__ == "numpy" else ""


def _check_kind(name: str, value: Tensor) -> None:
    wrong = None
    if type(value).__name__ == "DTensor":
        wrong = "a DTensor", ".to_local() and process_group, or .full_tensor()"
    elif value.is_nested:
        wrong = "a nested one", "torch.nested.to_padded_tensor and mask"
    elif value.is_quantized:
        wrong = f"{value.dtype}", ".dequantize()"
    elif value.layout != torch.strided:
        wrong = f"layout {value.layout}", ".to_dense()"
    elif value.is_complex():
        wrong = f"{value.dtype}", ".abs() or .real"
    elif value.is_floating_point() and value.dtype.itemsize == 1:
        wrong = f"{value.dtype}", ".float()"
    if wrong is not None:
        raise TypeError(_message(name, "a dense tensor of real numbers", wrong[0], wrong[1]))


def check_ids(name: str, ids: Tensor, valid: Tensor | None, classes: float) -> None:
    """Class ids below `classes` on the valid pixels."""
    ids = ids.long()
    if valid is not None:
        if seen(ids) and not peek((((ids < 0) | (ids >= classes)) & valid).any()):
            return
        ids = torch.where(valid, ids, 0)
    check_range(name, ids, 0, classes - 1, "class ids")


def check_range(
    name: str,
    x: Tensor,
    low: float,
    high: float,
    what: str = "values",
    slack: float = 0,
    remedy: str = "",
) -> float | None:
    """Finite values from `low` to `high`, the largest of which is returned if it is known.

    `slack` lets rounding go a little beyond.
    """
    if x.numel() == 0 or x.dtype == torch.bool:
        return None
    if asserted_later(x):
        ends = torch.aminmax(x)
        under = ends.max <= high + slack if math.isfinite(high) else ends.max < high
        message = _message(name, f"{what} in {_interval(low, high)}", "others", remedy)
        assert_later((ends.min >= low - slack) & under, message)
    if not seen(x):
        return None
    smallest, largest = (peek(end) for end in torch.aminmax(x))
    if smallest is None or largest is None:
        return None
    inside = low - slack <= smallest and largest <= high + slack and math.isfinite(largest)
    if not inside:  # also where there is a NaN
        expected, came = f"{what} in {_interval(low, high)}", f"values from {smallest} to {largest}"
        remedy = remedy or _label_remedy(name, what, smallest, largest)
        raise ValueError(_message(name, expected, came, remedy))
    return largest


def _label_remedy(name: str, what: str, smallest: float, largest: float) -> str:
    """What the usual values that are no label are there for."""
    for value in (largest, smallest):
        if what == "class ids" and value in (255, -1, -100):
            return f"ignore_index={value} makes such pixels void"
    if name in ("pred", "target") and largest == 255:
        return f"{name} == 255 if that is foreground, ignore_index=255 if it is void"
    return ""


def _interval(low: float, high: float) -> str:
    return f"[{low}, {high}" + ("]" if math.isfinite(high) else ")")


def check_that(ok: Tensor, message: str) -> None:
    """What a scalar tensor says of values, as soon as it is known without waiting."""
    if asserted_later(ok):
        assert_later(ok, message)
    elif peek(ok) is False:
        raise ValueError(message)


def seen(x: Tensor) -> bool:
    """Whether values are looked at here and now: not under torch.compile, nor on a GPU."""
    now = CHECK_VALUES == "now" or (CHECK_VALUES == "1" and x.device.type not in LATER)
    return now and not torch.compiler.is_compiling()


def asserted_later(x: Tensor) -> bool:
    """Whether a GPU looks at values when it gets there, as torch has it look at class ids."""
    later = CHECK_VALUES == "1" and x.device.type in LATER
    return later and not torch.compiler.is_compiling()


def assert_later(ok: Tensor, message: str) -> None:
    # Torch has no public name for it, so it may be gone one day; then nobody looks.
    assertion: Callable[[Tensor, str], None] | None = getattr(torch, "_assert_async", None)
    if assertion is None or (ok.is_cuda and torch.cuda.is_current_stream_capturing()):
        return
    try:
        assertion(ok, f"{message}; SEGLOSS_CHECK_VALUES=now raises this at the call")
    except RuntimeError:  # vmap has no rule for it, and nothing has run yet
        return


def peek(x: Tensor) -> float | None:
    """The value of a scalar tensor if it is `seen`; None under torch.export and vmap, too."""
    return value_of(x) if seen(x) else None


def value_of(x: Tensor) -> float | None:
    """The value of a scalar tensor, which waits for a GPU; None where there is none to see."""
    if torch.compiler.is_compiling():
        return None
    if x.is_cuda and torch.cuda.is_current_stream_capturing():
        return None
    try:
        return x.item()
    except RuntimeError:
        return None


def check_class_vector(
    name: str, value: object, like: Tensor, classes: int, high: float = math.inf
) -> Tensor:
    """Non-negative numbers (C,), a tensor or a list, in the dtype and on the device of `like`."""
    if is_list_of_numbers(value):
        value = torch.tensor(value, dtype=like.dtype, device=like.device)
    if not isinstance(value, Tensor):
        expected = f"a tensor or a list of {classes} numbers, one for each class"
        raise TypeError(_message(name, expected, type(value).__name__))
    check_tensor(name, value, like.device)
    expect_shape(name, value, torch.Size([classes]))
    check_range(name, value, 0, high)
    return value.to(like.dtype)


def is_list_of_numbers(value: object) -> bool:
    return isinstance(value, (list, tuple)) and all(
        isinstance(x, (int, float, numbers.Real)) and not isinstance(x, bool) for x in value
    )


def check_group(process_group: object) -> None:
    if process_group is None or torch.compiler.is_compiling():
        return
    from torch import distributed

    if not distributed.is_available() or not isinstance(process_group, distributed.ProcessGroup):
        expected, remedy = "a torch.distributed group or None", "torch.distributed.group.WORLD"
        raise TypeError(_message("process_group", expected, f"{process_group!r}", remedy))


# Functions of callers' that have been tried, once each, as looking at values waits for a GPU.
_tried: WeakSet[Any] = WeakSet()


def check_function(
    name: str,
    function: Callable[..., Tensor],
    arguments: Callable[[Tensor], Sequence[Tensor]],
    points: Iterable[Tensor],
) -> None:
    """Refuse what is no function, gives a NaN at one of these points, or at all of them no slope.

    Values are looked at in the first call, where they can be seen; a GPU is waited for once.
    """
    if not callable(function):
        raise TypeError(_message(name, "a function of tensors", f"{function!r}"))
    if CHECK_VALUES == "0" or torch.compiler.is_compiling() or _is_tried(function):
        return
    sloping = False
    with torch.enable_grad():
        for point in points:
            try:
                x = point.requires_grad_()
            except RuntimeError:  # in a transform of torch.func
                return
            given = arguments(x)
            found = call(name, function, *given)
            is_nan = value_of(found.isnan().any())
            if is_nan is None:
                return
            if is_nan:
                at = found.isnan().flatten().long().argmax()
                where = ", ".join(f"{a.flatten()[at].item():g}" for a in given)
                remedy = "a quotient is safe with denominator.clamp(min=1e-12)"
                raise ValueError(_message(name, "a number", f"nan at ({where})", remedy))
            if found.requires_grad:
                (slope,) = torch.autograd.grad(found.sum(), x, allow_unused=True)
                sloping = sloping or (slope is not None and bool(value_of(slope.any())))
    if not sloping:
        remedy = "no .detach(), no rounding, no comparison"
        raise ValueError(_message(name, "a function with a gradient", "none", remedy))
    with suppress(TypeError):  # what cannot be hashed is tried each time
        _tried.add(function)


def _is_tried(function: object) -> bool:
    with suppress(TypeError):
        return function in _tried
    return False


def call(name: str, function: Callable[..., Tensor], *args: Tensor) -> Tensor:
    """What a caller's function makes of tensors of one shape: a tensor of that shape and dtype."""
    found: object = function(*args)
    if not isinstance(found, Tensor):
        raise TypeError(_message(name, "a function that returns a tensor", type(found).__name__))
    remedy = "it returns one number for each that it is given, without sums over them"
    expect_shape(name, found, args[0].shape, remedy=remedy)
    return found.to(args[0].dtype)
