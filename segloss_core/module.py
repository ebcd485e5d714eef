"""The module twins: a class stores the options of a loss function and calls it."""

from __future__ import annotations

import copy
import inspect
import numbers
from collections.abc import Callable, Iterable, Sequence
from difflib import get_close_matches
from typing import Any, ClassVar, Concatenate, ParamSpec

import torch
from torch import Tensor, nn

from .checks import check_group, is_list_of_numbers

P = ParamSpec("P")

# What changes with every batch is given in the call, so the constructor does not take it.
BATCH_ARGUMENTS = ("mask", "pixel_weight", "instances", "distance")

# Options that may hold a number for each class.
VECTORS = ("weight", "pos_weight", "alpha", "beta", "class_weight")


class LossModule(nn.Module):
    """A loss function with its options stored: tensors as buffers, the rest as attributes."""

    function: ClassVar[Callable[..., Tensor]]
    options: ClassVar[dict[str, Any]] = {}  # with their defaults
    batch_arguments: ClassVar[tuple[str, ...]]

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        if "__init__" not in vars(cls) or "function" not in vars(cls.__init__):
            return  # somebody's subclass of a loss
        function = vars(cls.__init__)["function"]
        names = inspect.signature(function).parameters
        cls.function = staticmethod(function)
        options = inspect.signature(cls).parameters.values()
        cls.options = {option.name: option.default for option in options}
        cls.batch_arguments = tuple(name for name in BATCH_ARGUMENTS if name in names)
        cls.__doc__ = f"{cls.__doc__}\n\n{inspect.getdoc(function)}"

    def forward(self, input: Tensor, target: Tensor, **batch: Tensor | None) -> Tensor:
        check_batch_arguments(batch, self.batch_arguments)
        return self.function(input, target, **self._stored(), **batch)

    def extra_repr(self) -> str:
        return ", ".join(
            f"{name}={value!r}"
            for name, value in self._stored().items()
            if isinstance(value, Tensor) or value != self.options[name]
        )

    def __setattr__(self, name: str, value: Any) -> None:
        """Also later a tensor becomes a buffer and a parameter one, whatever stood there."""
        if name not in self.options:
            return super().__setattr__(name, value)
        if name in VECTORS and is_list_of_numbers(value):
            value = torch.tensor(value, dtype=torch.float32)
        if hasattr(self, name):
            delattr(self, name)
        if isinstance(value, Tensor) and not isinstance(value, nn.Parameter):
            self.register_buffer(name, value)
        else:
            super().__setattr__(name, value)

    def __deepcopy__(self, memo: dict[int, Any]) -> LossModule:
        """A copy belongs to the same process group, which itself cannot be copied."""
        group = self._stored().get("process_group")
        if group is not None:
            memo[id(group)] = group
        copied = type(self).__new__(type(self))
        memo[id(self)] = copied
        vars(copied).update(copy.deepcopy(vars(self), memo))
        return copied

    def _stored(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.options}

    def _try(self) -> None:
        """Call the function with one pixel, which refuses wrong options in its own words."""
        stored = self._stored()
        check_group(stored.pop("process_group", None))
        tensors = [value for value in stored.values() if isinstance(value, Tensor)]
        device = tensors[0].device if tensors else torch.device("cpu")
        # As many classes and dimensions as the options speak of.
        vectors = [stored[name] for name in VECTORS if name != "class_weight" and name in stored]
        sizes = [len(x) for x in vectors if isinstance(x, Tensor) and x.ndim > 0]
        if isinstance(stored.get("classes"), (list, tuple)):
            sizes += [1 + int(c) for c in stored["classes"] if isinstance(c, numbers.Integral)]
        spacing: Any = stored.get("spacing")
        space = [1] * (len(spacing) if hasattr(spacing, "__len__") else 0)
        ids = torch.zeros(1, *space, dtype=torch.long, device=device)
        channels = [] if str(stored["mode"]) == "binary" else [max([2, *sizes])]
        input = torch.zeros(1, *channels, *space, dtype=torch.float32, device=device)
        target = input.long() if str(stored["mode"]) == "multilabel" else ids
        batch = {"instances": ids} if "instances" in self.batch_arguments else {}
        with torch.no_grad():
            self.function(input, target, **stored, **batch)


def check_batch_arguments(given: Iterable[str], accepted: Sequence[str]) -> None:
    for name in given:
        if name not in accepted:
            expected = ", ".join(accepted) or "nothing"
            raise TypeError(f"{name}: expected only {expected} beside input and target, got {name}")


def options_of(
    function: Callable[Concatenate[Tensor, Tensor, P], Tensor],
) -> Callable[[Callable[..., None]], Callable[Concatenate[Any, P], None]]:
    """Make the decorated `__init__` take and store the options of `function`.

    Type checkers see the function's keywords with their types and defaults. A type cannot leave a
    keyword out, so they see those of BATCH_ARGUMENTS too; at run time the signature is exact.
    """
    signature = inspect.signature(function)
    parameters = [
        parameter
        for parameter in signature.parameters.values()
        if parameter.kind is parameter.KEYWORD_ONLY and parameter.name not in BATCH_ARGUMENTS
    ]
    this = inspect.Parameter("self", inspect.Parameter.POSITIONAL_ONLY)
    signature = signature.replace(parameters=[this, *parameters], return_annotation=None)

    def decorate(_: Callable[..., None]) -> Callable[Concatenate[Any, P], None]:
        def store(self: LossModule, /, *args: Any, **kwargs: Any) -> None:
            nn.Module.__init__(self)
            _check_names(type(self).__name__, parameters, args, kwargs)
            bound = signature.bind(self, **kwargs)
            bound.apply_defaults()
            for name, value in list(bound.arguments.items())[1:]:
                setattr(self, name, value)
            self._try()

        vars(store).update(function=function, __signature__=signature)
        return store

    return decorate


def _check_names(
    loss: str, parameters: Sequence[inspect.Parameter], args: tuple[Any, ...], given: dict[str, Any]
) -> None:
    names = [parameter.name for parameter in parameters]
    if args:
        raise TypeError(f"{loss}: expected options by name, as in mode='binary', got {args[0]!r}")
    for name in given:
        if name in BATCH_ARGUMENTS:
            raise TypeError(f"{name}: expected in the call of {loss}, got it in the constructor")
        if name not in names:
            near = get_close_matches(name, names, 1)
            remedy = ", ".join(names) + (f"; {near[0]}?" if near else "")
            raise TypeError(f"{name}: expected an option of {loss}, got {name} ({remedy})")
    for parameter in parameters:
        if parameter.default is parameter.empty and parameter.name not in given:
            raise TypeError(f"{parameter.name}: expected a value for {loss}, got none")
