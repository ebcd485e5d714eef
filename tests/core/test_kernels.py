"""What only the kernels could get wrong; that they equal the formulas is in test_values."""

import pytest
import torch
from cases import LOSSES, Case, sample

import segloss_core as core
from segloss_core.fast import dispatch

HARD = [case for case in LOSSES if not case.soft]


@pytest.fixture
def both(monkeypatch):
    """Value and gradient by the formula and by the kernel."""

    def evaluate(case, z, y, **extras):
        results = []
        for smallest in (torch.inf, 0):
            monkeypatch.setattr(dispatch, "SMALLEST", smallest)
            x = z.detach().requires_grad_()
            loss = case(x, y, **extras)
            results.append((loss.detach(), torch.autograd.grad(loss, x)[0]))
        return results

    return evaluate


@pytest.fixture
def kernels(monkeypatch):
    monkeypatch.setattr(dispatch, "SMALLEST", 0)


@pytest.mark.parametrize("case", HARD, ids=str)
def test_backward_again(case: Case, kernels):
    """The first backward gives its buffer away, so the second computes anew."""
    z, y, extras = sample(case, spatial=(3, 4))
    loss = case(z.requires_grad_(), y, **extras)
    first, second = (torch.autograd.grad(loss, z, retain_graph=True)[0] for _ in range(2))
    assert torch.equal(first, second)
    assert first.data_ptr() != second.data_ptr()


@pytest.mark.parametrize("case", HARD, ids=str)
def test_a_factor_after_the_loss(case: Case, kernels):
    z, y, extras = sample(case, spatial=(3, 4))
    z.requires_grad_()
    (once,) = torch.autograd.grad(case(z, y, **extras), z)
    (thrice,) = torch.autograd.grad(3 * case(z, y, **extras), z)
    torch.testing.assert_close(thrice, 3 * once)


@pytest.mark.parametrize("case", HARD, ids=str)
def test_nan_in_a_valid_pixel_is_not_lost(case: Case, both):
    z, y, extras = sample(case, spatial=(3, 4))
    z[0, ..., 0, 0] = torch.nan
    for value, _ in both(case, z, y, **extras):
        assert value.isnan()


@pytest.mark.parametrize("case", HARD, ids=str)
def test_memory_layouts(case: Case, both):
    z, y, extras = sample(case, spatial=(3, 4))
    strange = [z.transpose(-1, -2).contiguous().transpose(-1, -2)]
    if "lovasz" not in str(case):  # where equal errors of two images may come in either order
        strange.append(z[:1].expand_as(z))
    if z.ndim == 4:
        strange.append(z.to(memory_format=torch.channels_last))
    for x in strange:
        plain, fast = both(case, x, y, **extras)
        torch.testing.assert_close(fast, plain)


@pytest.mark.parametrize("case", HARD, ids=str)
def test_backward_under_autocast_stays_in_float32(case: Case, kernels):
    z, y, extras = sample(case, spatial=(3, 4), dtype=torch.float32)
    z.requires_grad_()
    extras = {k: v.float() if v.is_floating_point() else v for k, v in extras.items()}
    (plain,) = torch.autograd.grad(case(z, y, **extras), z)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        (cast,) = torch.autograd.grad(case(z, y, **extras), z)
    torch.testing.assert_close(cast, plain)


@pytest.mark.parametrize("case", HARD, ids=str)
def test_no_gradient_wanted(case: Case, kernels):
    z, y, extras = sample(case, spatial=(3, 4))
    value = case(z, y, **extras)
    assert not value.requires_grad
    torch.testing.assert_close(value, case(z.requires_grad_(), y, **extras).detach())


@pytest.mark.parametrize("case", HARD, ids=str)
def test_default_blocks_on_a_large_image(case: Case, both):
    """Large enough for several blocks; the float32 sums of a block cost no digits."""
    z, y, extras = sample(case, batch=1, spatial=(300, 400), dtype=torch.float32)
    extras = {k: v.float() if v.is_floating_point() else v for k, v in extras.items()}
    (value, gradient), (fast, slope) = both(case, z, y, **extras)
    # An error on the edge of a bin may be rounded to either side.
    rtol = 1e-5 if "bins" in case.options else 2e-6
    torch.testing.assert_close(fast, value, rtol=rtol, atol=0)
    scale = gradient.abs().max()
    torch.testing.assert_close(slope / scale, gradient / scale, rtol=1e-3, atol=1e-4)


def test_bits_of_errors_are_ordered_at_every_magnitude(both):
    """From denormal numbers to the largest: the shifted keys must not overflow."""
    errors = torch.cat([10.0 ** torch.arange(-44, 39), torch.tensor([3.4e38])])
    errors = errors.float()[torch.randperm(len(errors), generator=torch.Generator().manual_seed(0))]
    y = torch.arange(len(errors)) % 3 == 0
    z = torch.where(y, 1 - errors, errors - 1).double()
    case = Case(core.lovasz_hinge_loss, "binary", None)
    for dtype in (torch.float32, torch.float64):
        (value, gradient), (fast, slope) = both(case, z.to(dtype)[None], y[None])
        torch.testing.assert_close(fast, value, rtol=1e-5, atol=0)
        torch.testing.assert_close(slope, gradient, rtol=1e-5, atol=0)


@pytest.mark.parametrize("scale", [0.0, 0.1, 1.0, 50.0])
@pytest.mark.parametrize("loss", [core.lovasz_hinge_loss, core.lovasz_softmax_loss])
def test_slabs_of_errors(loss, scale: float, both):
    """From errors that are all the same to errors that are nearly all 0 or far apart."""
    generator = torch.Generator().manual_seed(0)
    mode, classes = ("binary", 1) if loss is core.lovasz_hinge_loss else ("multiclass", 3)
    z = scale * torch.randn(2, classes, 500, 400, generator=generator)
    y = torch.randint(max(2, classes), (2, 500, 400), generator=generator)
    z[:, -1:] += 2 * scale * torch.where(y > 0, 1.0, -1.0).unsqueeze(1)
    y = y if classes > 1 else y.unsqueeze(1)
    (value, gradient), (fast, slope) = both(Case(loss, mode, None), z, y)
    torch.testing.assert_close(fast, value, rtol=1e-5, atol=0)
    if scale > 0:  # else the order of equal errors is anybody's choice
        largest = gradient.abs().max()
        torch.testing.assert_close(slope / largest, gradient / largest, rtol=1e-3, atol=1e-4)


def test_weights_that_are_learnt_have_their_gradient():
    """A kernel differentiates by the logits alone, so it must not hide the weights."""
    z, y = torch.randn(2, 3, 4, dtype=torch.float64), torch.randint(3, (2, 4))
    mask = (y > 1).unsqueeze(1).expand_as(z)

    def slope(loss, name, weight):
        weight = weight.double().requires_grad_()
        return torch.autograd.grad(loss(**{name: weight}), weight)[0]

    def losses():
        several = {"mode": "multiclass"}
        labels = {"mode": "multilabel"}
        pixels = torch.rand(2, 4)
        three = torch.rand(3)
        yield lambda **k: core.cross_entropy_loss(z, y, **several, **k), "pixel_weight", pixels
        yield lambda **k: core.focal_loss(z, y, **several, **k), "alpha", three
        yield lambda **k: core.focal_loss(z, mask, **labels, **k), "alpha", three

    for loss, name, weight in losses():
        found = []
        for smallest in (torch.inf, 0):
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(dispatch, "SMALLEST", smallest)
                found.append(slope(loss, name, weight))
        assert (found[0] != 0).any()
        assert torch.equal(*found)


@pytest.mark.parametrize("case", HARD, ids=str)
def test_a_transform_of_something_else(case: Case, kernels):
    """torch.func refuses a plain autograd.Function anywhere below it."""
    z, y, extras = sample(case, spatial=(3, 4))
    alone = case(z, y, **extras)
    among = torch.func.vmap(lambda factor: factor * case(z, y, **extras))(torch.ones(2).double())
    torch.testing.assert_close(among, alone.expand(2))
