"""The kernels for a GPU against the formulas: on a GPU where there is one, else interpreted."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from cases import CASES, LOSSES, Case, sample
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode, _disable_current_modes

import segloss_core as core
from segloss_core import geometry
from segloss_core.fast import dispatch

pytest.importorskip("triton", reason="Triton is not installed; it is for Linux on x86-64")

from segloss_core import gpu

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")  # numpy's, on NaN and inf

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


def served(case: Case) -> bool:
    """Whether there is a kernel for it; all else are formulas on a GPU as well."""
    formulas = core.pixel_loss, core.boundary_loss, core.hausdorff_loss
    soft_classes = case.soft and case.mode == "multiclass"
    return "squared" not in case.options and not soft_classes and case.loss not in formulas


SERVED = [case for case in CASES if served(case)]
HARD = [case for case in LOSSES if served(case)]

Result = tuple[Tensor, Tensor]


@pytest.fixture
def triton(monkeypatch) -> Iterator[None]:
    """Kernels wherever there is one, on a CPU as well."""
    monkeypatch.setattr(dispatch, "TRITON", True)
    if DEVICE == "cpu":
        monkeypatch.setattr(gpu, "serves", lambda x: True)


@pytest.fixture
def both(monkeypatch, triton) -> Callable[..., list[Result]]:
    """Value and gradient by the formula and by the kernel, which there must be."""

    def evaluate(loss: Callable[..., Tensor], z: Tensor, y: Tensor, **extras: Any) -> list[Result]:
        chosen = []

        def twin(*given: Any) -> Any:
            chosen.append(find(*given))
            return chosen[-1]

        results = []
        y, extras = y.to(DEVICE), {k: moved(v) for k, v in extras.items()}
        for on in (False, True):
            with monkeypatch.context() as patch:
                patch.setattr(dispatch, "TRITON", on)
                patch.setattr(dispatch, "is_large", lambda *_: False)
                find = gpu.twin
                patch.setattr(gpu, "twin", twin)
                x = z.detach().to(DEVICE).requires_grad_()
                value = loss(x, y, **extras)
                results.append((value.detach(), torch.autograd.grad(value, x)[0]))
        assert len(chosen) == 1
        assert chosen[0] is not None
        return results

    return evaluate


def moved(x: Any) -> Any:
    return x.to(DEVICE) if isinstance(x, Tensor) else x


def on_device(case: Case) -> Callable[..., Tensor]:
    """The case with its options on the device."""
    options = {k: moved(v) for k, v in case.options.items()}
    return lambda z, y, **extras: case(z, y, **options, **extras)


def narrow(extras: dict[str, Tensor]) -> dict[str, Tensor]:
    return {k: v.float() if v.is_floating_point() else v for k, v in extras.items()}


def assert_near(found: Result, expected: Result, rtol: float = 2e-6, slack: float = 2e-6) -> None:
    """Equal but for rounding: the value by itself, the slopes beside the largest."""
    torch.testing.assert_close(found[0], expected[0], rtol=rtol, atol=1e-7)
    scale = expected[1].abs().max().clamp(min=1e-6).float()
    slopes = [gradient.float() / scale for gradient in (found[1], expected[1])]
    torch.testing.assert_close(*slopes, rtol=1e-3, atol=slack)
    assert found[1].dtype == expected[1].dtype


@pytest.mark.parametrize("case", SERVED, ids=str)
def test_kernels_equal_formulas(case: Case, both):
    z, y, extras = sample(case, spatial=(3, 4), dtype=torch.float32)
    y = y.float() if case.soft else y
    void = torch.arange(24).view(2, 3, 4) % 5 == 0
    assert_near(*reversed(both(on_device(case), z, y, **narrow(extras), mask=~void)))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16], ids=str)
@pytest.mark.parametrize("classes", [2, 4, 19, 150, 1000])
def test_classes_and_precisions(classes: int, dtype: torch.dtype, both):
    """From one tile with empty rows to several tiles, infinite and NaN logits under void pixels."""
    g = torch.Generator().manual_seed(classes)
    z = (3 * torch.randn(1, classes, 5, 7, generator=g)).to(dtype)
    y = torch.randint(classes, (1, 5, 7), generator=g)
    y[0, 0, :3], y[0, 1, 0], y[0, 1, 1] = -100, classes - 1, 0
    z[0, :, 0, 0], z[0, :, 0, 1], z[0, -1, 0, 2] = torch.nan, torch.inf, -torch.inf
    weight = torch.rand(classes, generator=g)
    slack = 2e-6 if dtype == torch.float32 else torch.finfo(dtype).eps

    def cross_entropy(z: Tensor, y: Tensor, **options: float) -> Tensor:
        weights = {"weight": moved(weight), "mode": "multiclass", "ignore_index": -100}
        return core.cross_entropy_loss(z, y, **weights, **options)

    def smoothed(z: Tensor, y: Tensor) -> Tensor:
        # A class of probability 0 would cost all there is.
        return cross_entropy(1000 + z.nan_to_num(torch.nan, 9, -9), y, label_smoothing=0.1)

    def focal(z: Tensor, y: Tensor) -> Tensor:
        return core.focal_loss(z, y, mode="multiclass", ignore_index=-100)

    def dice(z: Tensor, y: Tensor) -> Tensor:
        return core.dice_loss(z, y, mode="multiclass", ignore_index=-100)

    for loss in (cross_entropy, smoothed, focal, dice):
        expected, found = both(loss, z, y)
        assert_near(found, expected, slack=slack)
        assert (found[1][0, :, 0, :3] == 0).all()
        assert found[1].dtype == dtype
        assert found[0].dtype == torch.float32


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
@pytest.mark.parametrize("kind", [torch.bool, torch.uint8, torch.int64, torch.bfloat16], ids=str)
def test_half_precision_and_kinds_of_masks(dtype: torch.dtype, kind: torch.dtype, both):
    g = torch.Generator().manual_seed(0)
    z = (4 * torch.randn(2, 3, 5, generator=g)).to(dtype)
    y = torch.randint(2, (2, 3, 5), generator=g).to(kind)
    z[0, 0, :2] = torch.tensor([torch.inf, torch.nan])
    mask = torch.ones(2, 3, 5, dtype=torch.bool)
    mask[0, 0, :2] = False
    for loss in (core.focal_loss, core.balanced_cross_entropy_loss, core.dice_loss):
        expected, found = both(loss, z, y, mask=mask)
        assert_near(found, expected, slack=torch.finfo(dtype).eps)
        assert (found[1][0, 0, :2] == 0).all()


@pytest.mark.parametrize("case", HARD, ids=str)
def test_nan_and_infinite_logits(case: Case, both):
    """NaN on a valid pixel shows; an infinite logit is a very large one."""
    z, y, extras = sample(case, spatial=(3, 4), dtype=torch.float32)
    broken = z.clone()
    broken[0, ..., 0, 0] = torch.nan
    _, (value, gradient) = both(on_device(case), broken, y, **narrow(extras))
    assert value.isnan()
    assert gradient[0, ..., 0, 0].isnan().all()
    if case.mode == "multiclass":
        right = z.scatter(1, (y.unsqueeze(1) + 1) % 3, -torch.inf)
        wrong = z.scatter(1, y.unsqueeze(1)[..., :1, :1], -torch.inf)
    else:
        right = (2 * y - 1) * torch.inf
        wrong = right.clone()
        wrong[0, ..., 0, :2] *= -1
    _, found = both(on_device(case), right, y, **narrow(extras))
    expected, _ = both(on_device(case), right.clamp(-1e4, 1e4), y, **narrow(extras))
    assert_near(found, expected)
    _, (value, gradient) = both(on_device(case), wrong, y, **narrow(extras))
    assert not value.isnan()
    assert not gradient.isnan().any()


@pytest.mark.parametrize("case", HARD, ids=str)
def test_layouts_are_read_in_place(case: Case, both):
    """Channels last, every other row, transposed, repeated; and three spatial dimensions."""
    z, y, extras = sample(case, spatial=(4, 3), dtype=torch.float32)
    twice = z.repeat_interleave(2, -2)[..., ::2, :]
    strange = [twice, z.transpose(-1, -2).contiguous().transpose(-1, -2)]
    if "lovasz" not in str(case):  # where equal errors of two images may come in either order
        strange.append(z[:1].expand_as(z))
    if z.ndim == 4:
        strange.append(z.to(memory_format=torch.channels_last))
    for x in strange:
        assert_near(*reversed(both(on_device(case), x, y, **narrow(extras))))
    z, y, extras = sample(case, spatial=(2, 3, 2), dtype=torch.float32)
    assert_near(*reversed(both(on_device(case), z, y, **narrow(extras))))


@pytest.mark.parametrize("case", HARD, ids=str)
def test_backward_again_with_a_factor_and_twice(case: Case, triton, monkeypatch):
    """A GradScaler's factor; a second backward; a gradient of the gradient is the formula's."""
    z, y, extras = sample(case, spatial=(3, 4), dtype=torch.float32)
    loss, extras = on_device(case), {k: moved(v) for k, v in narrow(extras).items()}
    z, y = z.to(DEVICE).requires_grad_(), y.to(DEVICE)
    value = loss(z, y, **extras)
    first, second = (torch.autograd.grad(value, z, retain_graph=True)[0] for _ in range(2))
    assert torch.equal(first, second)
    (scaled,) = torch.autograd.grad(1024 * value, z, retain_graph=True)
    torch.testing.assert_close(scaled, 1024 * first)
    (slope,) = torch.autograd.grad(value, z, create_graph=True)
    torch.testing.assert_close(slope.detach(), first)
    (curvature,) = torch.autograd.grad(slope.square().sum(), z)
    monkeypatch.setattr(dispatch, "TRITON", False)
    (slope,) = torch.autograd.grad(loss(z, y, **extras), z, create_graph=True)
    (expected,) = torch.autograd.grad(slope.square().sum(), z)
    torch.testing.assert_close(curvature, expected)


def test_several_programs_add_up(both):
    """More pixels than a program takes, with a last one that is not full; and sums by floats."""
    g = torch.Generator().manual_seed(0)
    z, y = torch.randn(2, 3, 5000, generator=g), torch.randint(3, (2, 5000), generator=g)
    y[0, ::7] = 255
    options = {"mode": "multiclass", "ignore_index": 255}
    assert_near(*reversed(both(core.cross_entropy_loss, z, y, **options)))
    assert_near(*reversed(both(core.focal_loss, z[:, 0], y == 1)))
    assert_near(*reversed(both(core.cross_entropy_loss, z, y, reduction="sum", **options)))
    assert_near(*reversed(both(core.dice_loss, z, y, per_image=True, **options)))
    assert_near(*reversed(both(core.dice_loss, z[:, 0], y == 1)))


@pytest.mark.parametrize("per_image", [False, True])
def test_lovasz_losses_of_several_programs_and_sorts(per_image: bool, both, monkeypatch):
    """Two classes a sort, rows that are not full, and a class without foreground."""
    monkeypatch.setattr(gpu.lovasz, "SORTED", 6000)
    g = torch.Generator().manual_seed(0)
    z, y = 3 * torch.randn(2, 3, 1300, generator=g), torch.randint(2, (2, 1300), generator=g)
    y[0, ::7] = 255
    z[0, :, 0] = torch.nan
    options = {"ignore_index": 255, "per_image": per_image, "classes": "all"}
    assert_near(*reversed(both(core.lovasz_softmax_loss, z, y, **options)))
    if not per_image:
        assert_near(*reversed(both(core.lovasz_softmax_loss, z, y, bins=16, **options)), rtol=1e-5)
    hard = torch.stack([y, y, (y == 255) * 255], 1)
    assert_near(*reversed(both(core.lovasz_hinge_loss, z, hard, mode="multilabel", **options)))


@pytest.mark.parametrize(("classes", "dtype"), [(2, torch.float16), (300, torch.bfloat16)], ids=str)
def test_lovasz_losses_of_halves(classes: int, dtype: torch.dtype, both):
    """Equal errors may come in either order, so that only the value is the same."""
    g = torch.Generator().manual_seed(0)
    z = torch.randn(2, classes, 30, generator=g).to(dtype)
    y = torch.randint(classes, (2, 30), generator=g)
    (expected, gradient), (value, slopes) = both(core.lovasz_softmax_loss, z, y)
    torch.testing.assert_close(value, expected, rtol=1e-6, atol=0)
    assert slopes.dtype == dtype
    (expected, _), (value, _) = both(core.lovasz_softmax_loss, z, y, bins=64)
    torch.testing.assert_close(value, expected, rtol=1e-5, atol=0)
    close = torch.isclose(slopes.float(), gradient.float(), rtol=0.02, atol=1e-5)
    assert close.float().mean() > 0.95
    (expected, _), (value, _) = both(core.lovasz_hinge_loss, z[:, 0], y == 1)
    torch.testing.assert_close(value, expected, rtol=1e-6, atol=0)


@pytest.mark.skipif(DEVICE != "cpu", reason="interpreted")
def test_addresses_beyond_32_bits(monkeypatch):
    """The last pixels of three images of 2^32 pixels, of which nothing is really read."""
    import numpy as np
    from triton.language import int32
    from triton.runtime.interpreter import InterpreterBuilder as Builder
    from triton.runtime.interpreter import TensorHandle

    def load(builder, ptrs, mask, other, *rest):
        farthest.append(int(ptrs.data[mask.data].max()))
        return other

    farthest: list[int] = []
    length, images, classes, block = 2**32, 3, 4, 512
    last = images * length // block - 1
    program = TensorHandle(np.array([last], dtype=np.int32), int32)
    monkeypatch.setattr(Builder, "create_get_program_id", lambda builder, axis: program)
    monkeypatch.setattr(Builder, "create_masked_load", load)
    monkeypatch.setattr(Builder, "create_masked_store", lambda *given: None)
    x, y, losses = torch.zeros(1), torch.zeros(1, dtype=torch.long), torch.zeros(1)
    strides = classes * length, length, 1, length, 1, 0, 0, 0, 0
    gpu.launch.launch(
        *(gpu.pixel.softmax.softmax_losses, 1, x, x, y, None, None, None, losses, None),
        *(*strides, length, 0.0, 0.0),
        **{"C": classes, "TILE": classes, "BLOCK": block, "FOCAL": False, "SMOOTH": False},
    )
    pixels = images * length
    assert farthest == [y.data_ptr() + 8 * (pixels - 1), x.data_ptr() + 4 * (classes * pixels - 1)]


def test_nothing_valid_is_0(both):
    z, y = torch.randn(1, 3, 6), torch.full((1, 6), 255)
    _, (value, gradient) = both(core.focal_loss, z, y, mode="multiclass", ignore_index=255)
    assert value == 0
    assert (gradient == 0).all()


class Operations(TorchDispatchMode):
    """Counts what torch would launch."""

    FREE = ("empty", "new_empty", "empty_like", "set_", "detach", "_unsafe_view", "lift_fresh")

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func.overloadpacket.__name__
        if not func.is_view and name not in self.FREE:
            self.names.append(name)
        return func(*args, **(kwargs or {}))


class Traffic:
    """Counts the bytes that interpreted kernels read and write."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        from triton.runtime.interpreter import InterpreterBuilder as Builder

        self.bytes = 0
        load, store = Builder.create_masked_load, Builder.create_masked_store

        def count(ptrs: Any, mask: Any) -> None:
            self.bytes += int(mask.data.sum()) * ptrs.get_element_ty().primitive_bitwidth // 8

        def counted_load(builder, ptrs, mask, *rest):
            count(ptrs, mask)
            return load(builder, ptrs, mask, *rest)

        def counted_store(builder, ptrs, value, mask, *rest):
            count(ptrs, mask)
            return store(builder, ptrs, value, mask, *rest)

        patch.setattr(Builder, "create_masked_load", counted_load)
        patch.setattr(Builder, "create_masked_store", counted_store)


@pytest.fixture
def counted(monkeypatch, triton) -> Callable[..., tuple[list[str], float]]:
    """Launches and traffic of what `evaluate` does forward and backward.

    Traffic is in bytes of the logits, beside one read of the target a pass.
    """
    if DEVICE != "cpu":
        pytest.skip("counted under the interpreter")

    def count(loss: Callable[..., Tensor], z: Tensor, y: Tensor, **options: Any) -> Any:
        launches, operations = [], Operations()
        whole, start = dispatch.evaluate, gpu.launch.launch

        def launch(kernel, *given, **constants):
            launches.append(kernel.__name__)
            with _disable_current_modes():  # the interpreter copies
                start(kernel, *given, **constants)

        def evaluate(formula, kernel, pixels):
            with operations:
                found = whole(formula, kernel, pixels)
                assert type(found.grad_fn).__name__ == "_ByKernelBackward"
                torch.autograd.grad(found, pixels.input, torch.ones_like(found))
            return found

        with monkeypatch.context() as patch:
            traffic = Traffic(patch)
            for name, module in list(sys.modules.items()):
                if name.startswith("segloss_core.gpu.") and hasattr(module, "launch"):
                    patch.setattr(module, "launch", launch)
                if name.startswith("segloss_core.") and hasattr(module, "evaluate"):
                    patch.setattr(module, "evaluate", evaluate)
            loss(z.requires_grad_(), y, **options)
        operations.names.remove("ones_like")
        beside = 2 * y.numel() * y.element_size()
        share = (traffic.bytes - beside) / (z.numel() * z.element_size())
        return launches + operations.names, share

    return count


@pytest.mark.parametrize("classes", [2, 19, 150])
def test_pixel_losses_read_the_logits_twice_and_write_them_once(classes: int, counted):
    z, y = torch.randn(1, classes, 1024), torch.randint(classes, (1, 1024))
    for loss in (core.cross_entropy_loss, core.focal_loss):
        launches, traffic = counted(loss, z, y, mode="multiclass")
        assert launches == ["softmax_losses", "mean", "softmax_slopes"]
        assert 3 <= traffic <= 3.2


@pytest.mark.parametrize("classes", [2, 19, 150])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16], ids=str)
def test_region_sums_do_as_well(classes: int, dtype: torch.dtype, counted):
    z, y = torch.randn(1, classes, 1024).to(dtype), torch.randint(classes, (1, 1024))
    launches, traffic = counted(core.dice_loss, z, y, mode="multiclass")
    assert launches == ["softmax_sums", "softmax_sum_slopes", "sum"]
    assert 3 <= traffic <= 3.2


def test_losses_of_one_channel_do_as_well(counted):
    z, y = torch.randn(1, 4096), torch.rand(1, 4096) < 0.5
    for loss, name in ((core.focal_loss, "losses"), (core.dice_loss, "sums")):
        launches, traffic = counted(loss, z, y)
        assert launches[0] == f"sigmoid_{name}"
        assert len(launches) == 3
        assert 3 <= traffic <= 3.2


def test_lovasz_losses_take_little_beside_the_sort(counted):
    z, y = torch.randn(1, 19, 1024), torch.randint(19, (1, 1024))
    launches, traffic = counted(core.lovasz_softmax_loss, z, y)
    assert launches[:3] == ["softmax_keys", "in_order", "softmax_slopes"]
    assert launches.count("sort") == 1
    assert len(launches) <= 12
    assert traffic <= 10.5
    launches, traffic = counted(core.lovasz_softmax_loss, z, y, bins=64)
    assert launches[:3] == ["softmax_counts", "binned_losses", "binned_slopes"]
    assert traffic <= 6.5  # all other launches are about bins
    z, y = torch.randn(1, 4096), torch.rand(1, 4096) < 0.5
    launches, traffic = counted(core.lovasz_hinge_loss, z, y)
    assert launches[:2] == ["hinge_keys", "in_order"]
    assert len(launches) <= 17
    assert traffic <= 7


@pytest.mark.parametrize("shape", [(2, 17), (1, 9, 31), (2, 5, 6, 7)], ids=str)
@pytest.mark.parametrize("reach", [torch.inf, 3.0])
def test_two_nearest_instances(shape: tuple[int, ...], reach: float, triton, monkeypatch):
    """Sparse and dense instances, touching ones, none at all; and pixels of any size."""
    g = torch.Generator().manual_seed(len(shape))
    dense = torch.randint(5, shape, generator=g)
    sparse = torch.where(torch.rand(shape, generator=g) < 0.05, dense + 2**40, 0)
    one = (torch.rand(shape, generator=g) < 0.3).int()
    for ids in (dense, sparse, one, 0 * dense):
        for spacing in (None, [0.5 + axis for axis in range(len(shape) - 1)]):
            given = ids.to(DEVICE), spacing, reach
            found = torch.stack(geometry.two_nearest_squared(*given))
            with monkeypatch.context() as patch:
                patch.setattr(dispatch, "TRITON", False)
                expected = torch.stack(geometry.two_nearest_squared(*given))
            far = expected > reach**2
            assert (found[far] > reach**2).all()
            torch.testing.assert_close(found[~far], expected[~far], rtol=1e-6, atol=0)


def test_the_weight_map_is_a_few_launches(triton, monkeypatch):
    ids = torch.randint(3, (1, 16, 16))
    launches, start = [], gpu.distance.launch

    def launch(kernel, *given, **constants):
        launches.append(kernel.__name__)
        with _disable_current_modes():
            start(kernel, *given, **constants)

    monkeypatch.setattr(gpu.distance, "launch", launch)
    with Operations() as operations:
        core.unet_weight_map(ids)
    checks = operations.names.index("sqrt")
    assert launches == ["sweep", "sweep"]
    assert len(launches) + len(operations.names[checks:]) <= 12


def test_kernels_compile_ahead_without_spilling():
    """For both architectures that are named, by the assembler that comes with Triton."""
    environment = {k: v for k, v in os.environ.items() if k != "TRITON_INTERPRET"}
    environment["PYTHONPATH"] = str(Path(core.__file__).parents[1])
    command = [sys.executable, str(Path(__file__).with_name("ahead.py"))]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    rows = json.loads(done.stdout)
    assert {row["architecture"] for row in rows} == {80, 90}
    assert {row["kernel"] for row in rows} >= {
        *("softmax_losses", "softmax_slopes", "sigmoid_losses", "sigmoid_slopes", "mean"),
        "sweep",
        *("softmax_keys", "hinge_keys", "in_order"),
        *("softmax_counts", "binned_losses", "binned_slopes"),
        *("softmax_sums", "softmax_sum_slopes", "sigmoid_sums", "sigmoid_sum_slopes"),
    }
    assert [row for row in rows if row["spilled"] or row["registers"] > 255] == []
