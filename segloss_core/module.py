"""The module twins: a class stores the options of a loss function and calls it."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Sequence
from typing import Any, ClassVar, Concatenate, ParamSpec

from torch import Tensor, nn

P = ParamSpec("P")

# What changes with every batch is given in the call, so the constructor does not take it.
BATCH_ARGUMENTS = ("mask", "pixel_weight", "instances")


class LossModule(nn.Module):
    """A loss function with its options stored: tensors as buffers, the rest as attributes."""

    function: ClassVar[Callable[..., Tensor]]
    options: ClassVar[tuple[str, ...]]
    batch_arguments: ClassVar[tuple[str, ...]]

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        if "__init__" not in vars(cls) or "function" not in vars(cls.__init__):
            return  # somebody's subclass of a loss
        function = vars(cls.__init__)["function"]
        names = inspect.signature(function).parameters
        cls.function = staticmethod(function)
        cls.options = tuple(inspect.signature(cls).parameters)
        cls.batch_arguments = tuple(name for name in BATCH_ARGUMENTS if name in names)
        cls.__doc__ = f"{cls.__doc__}\n\n{inspect.getdoc(function)}"

    def forward(self, input: Tensor, target: Tensor, **batch: Tensor | None) -> Tensor:
        check_batch_arguments(batch, self.batch_arguments)
        return self.function(input, target, **self._stored(), **batch)

    def extra_repr(self) -> str:
        parameters = inspect.signature(type(self)).parameters
        return ", ".join(
            f"{name}={value!r}"
            for name, value in self._stored().items()
            if isinstance(value, Tensor) or value != parameters[name].default
        )

    def _stored(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.options}


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
        def store(self: nn.Module, /, *args: Any, **kwargs: Any) -> None:
            nn.Module.__init__(self)
            bound = signature.bind(self, *args, **kwargs)
            bound.apply_defaults()
            for name, value in list(bound.arguments.items())[1:]:
                if isinstance(value, Tensor):
                    self.register_buffer(name, value)
                else:
                    setattr(self, name, value)

        vars(store).update(function=function, __signature__=signature)
        return store

    return decorate
