"""Every loss equals its formula, in value and gradient, and its reductions belong together."""

import pytest
import reference
import torch
from cases import CASES, CLASS_LOSSES, LOSSES, PIXEL_LOSSES, Case, sample
from hypothesis import given, settings
from hypothesis import strategies as st
from mpmath import mpf

from segloss_core import boundary_loss, lovasz_hinge_loss, lovasz_softmax_loss


def exact(x):
    """A tensor as nested lists of exact numbers."""
    if torch.is_tensor(x):
        x = x.tolist()
    if isinstance(x, list):
        return [exact(v) for v in x]
    return mpf(x) if isinstance(x, float) else x


def flat(x, case, per_class=True):
    """(B, C, N), or (B, N) for what has no class dimension."""
    x = x.unsqueeze(1) if per_class and case.mode == "binary" else x
    return x.unsqueeze(-1).flatten(2 if per_class else 1)


def distances(case, z, y, given, mask):
    """The maps that the reference takes, through which no gradient goes."""
    binary = case.mode == "binary"
    z, y = (x.unsqueeze(1) if binary else x for x in (z, y))
    p = z.softmax(1) if case.mode == "multiclass" else z.sigmoid()
    if y.ndim < z.ndim:
        y = torch.nn.functional.one_hot(y, z.shape[1]).movedim(-1, 1)
    valid = torch.ones_like(z, dtype=torch.bool)
    valid = valid if mask is None else mask.unsqueeze(1).expand_as(z)
    convention = case.options.get("convention", "edge")

    def signed(inside, convention):
        maps = reference.signed_distances(inside & valid, valid, convention=convention)
        return exact(maps.unsqueeze(-1).flatten(2))

    if case.loss is boundary_loss:
        return {"phi": signed(y > 0.5, convention) if given is None else exact(flat(given, case))}
    return {"d_y": signed(y > 0.5, "centre"), "d_p": signed(p > 0.5, "centre")}


def expected(case, z, y, extras, mask=None):
    """Value and gradient by the reference."""
    options = {name: exact(option) for name, option in case.options.items()}
    if "instances" in extras:
        few = {"top_k": options.pop("top_k")} if "top_k" in options else {}
        of_map = {name: option for name, option in case.options.items() if name in options}
        extras = {"pixel_weight": reference.unet_weights(extras["instances"], **of_map)}
        options = few
    if case.is_mean:
        options |= distances(case, z, y, extras.get("distance"), mask)
        options.pop("convention", None)
        extras = {}
    extras = {name: exact(flat(x, case, per_class=False)) for name, x in extras.items()}
    if mask is None:
        mask = torch.ones_like(z, dtype=torch.bool)
    elif case.mode != "binary":
        mask = mask.unsqueeze(1).expand_as(z)
    z, valid = exact(flat(z, case)), exact(flat(mask, case))
    y = exact(flat(y, case, per_class=case.soft or case.mode != "multiclass"))

    def value(z):
        return case.reference(z, y, valid, case.mode, **options, **extras)

    return float(value(z)), torch.tensor([float(g) for g in reference.gradient(value, z)])


def check(case, z, y, extras, mask=None):
    z.requires_grad_()
    loss = case(z, y, **extras, mask=mask)
    (grad,) = torch.autograd.grad(loss, z)
    value, slope = expected(case, z.detach(), y, extras, mask)
    rtol = 1e-6 if case.has_distances else 1e-9  # the map is float32
    assert loss.item() == pytest.approx(value, rel=rtol, abs=1e-12)
    torch.testing.assert_close(grad.flatten(), slope.to(grad), rtol=rtol * 100, atol=1e-10)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_equals_its_formula(case: Case):
    check(case, *sample(case))


@pytest.mark.parametrize("case", [c for c in CASES if c.plain or c.soft], ids=str)
def test_equals_its_formula_at_extreme_logits(case: Case):
    check(case, *sample(case, spatial=(3,), scale=25.0, seed=3))


@pytest.mark.parametrize("case", [c for c in LOSSES if "bins" not in c.options], ids=str)
@settings(max_examples=25)
@given(data=st.data())
def test_equals_its_formula_with_void_pixels_and_any_target(case: Case, data):
    n = data.draw(st.integers(1, 3))
    z, y, extras = sample(case, spatial=(n,), seed=data.draw(st.integers(0, 2**16)))
    y = torch.tensor(
        data.draw(
            st.lists(st.integers(0, int(y.max() > 1) + 1), min_size=y.numel(), max_size=y.numel())
        )
    ).view_as(y)
    y = y if case.mode == "multiclass" else y.clamp(max=1)
    keep = data.draw(st.lists(st.booleans(), min_size=2 * n, max_size=2 * n))
    mask = torch.tensor(keep).view(2, n)
    check(case, z, y, extras, mask)


@pytest.mark.parametrize("case", PIXEL_LOSSES, ids=str)
def test_pixel_reductions(case: Case):
    z, y, extras = sample(case)
    each = case(z, y, reduction="none", **extras)
    assert each.shape == y.shape
    torch.testing.assert_close(case(z, y, reduction="sum", **extras), each.sum())
    torch.testing.assert_close(case(z, y, **extras), each.mean())


@pytest.mark.parametrize("case", CLASS_LOSSES, ids=str)
@pytest.mark.parametrize("per_image", [False, True])
def test_region_reductions(case: Case, per_image: bool):
    z, y, _ = sample(case)
    each = case(z, y, reduction="none", classes="all", per_image=per_image)
    assert each.shape == ((2,) if per_image else ()) + (case.channels,)
    total = case(z, y, reduction="sum", classes="all", per_image=per_image)
    torch.testing.assert_close(total, each.sum())
    torch.testing.assert_close(case(z, y, classes="all", per_image=per_image), each.mean())
    if case.mode != "binary":
        some = case(z, y, reduction="none", classes=[2, 0], per_image=per_image)
        torch.testing.assert_close(some, each[..., [2, 0]])


@pytest.mark.parametrize("case", LOSSES, ids=str)
@pytest.mark.parametrize("spatial", [(), (4,), (2, 3), (2, 3, 2)], ids=str)
def test_spatial_dimensions_are_only_pixels(case: Case, spatial):
    """Any number of spatial dimensions gives the value of the same pixels in one row."""
    z, y, extras = sample(case, spatial=spatial)
    value = case(z, y, **extras)
    if case.has_distances:  # which depend on the shape
        assert value.isfinite()
        return
    extras = {name: flat(x, case, per_class=False) for name, x in extras.items()}
    z_row = z.unsqueeze(-1).flatten(1 if case.mode == "binary" else 2)
    y_row = y.unsqueeze(-1).flatten(2 if case.mode == "multilabel" else 1)
    torch.testing.assert_close(case(z_row, y_row, **extras), value)


@pytest.mark.parametrize("case", [c for c in LOSSES if c.mode == "binary"], ids=str)
def test_binary_channel_is_optional(case: Case):
    z, y, extras = sample(case)
    value = case(z, y, **extras)
    torch.testing.assert_close(case(z.unsqueeze(1), y, **extras), value)
    torch.testing.assert_close(case(z.unsqueeze(1), y.unsqueeze(1), **extras), value)
    mask = torch.rand(y.shape) > 0.3
    torch.testing.assert_close(
        case(z.unsqueeze(1), y.unsqueeze(1), mask=mask, **extras), case(z, y, mask=mask, **extras)
    )


@pytest.mark.parametrize("case", [c for c in LOSSES if c.mode != "multiclass"], ids=str)
@pytest.mark.parametrize("dtype", [torch.bool, torch.uint8, torch.int32, torch.float32])
def test_hard_targets_of_any_dtype(case: Case, dtype):
    z, y, extras = sample(case)
    torch.testing.assert_close(case(z, y.to(dtype), **extras), case(z, y, **extras))


@pytest.mark.parametrize("case", LOSSES, ids=str)
def test_probabilities_in_place_of_logits(case: Case):
    z, y, extras = sample(case)
    p = z.softmax(1) if case.mode == "multiclass" else z.sigmoid()
    value = case(p, y, from_logits=False, **extras)
    torch.testing.assert_close(value, case(z, y, **extras), rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("case", LOSSES, ids=str)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_probabilities_of_0_and_1_are_finite_and_wrong_ones_have_a_gradient(case: Case, dtype):
    """Also behind the sigmoid or softmax that made them, which an infinite slope turns to NaN."""
    z, y, extras = sample(case, dtype=dtype)
    right = (
        torch.nn.functional.one_hot(y, z.shape[1]).movedim(-1, 1)
        if case.mode == "multiclass"
        else y
    )
    for sign in (1, -1):
        z = (sign * 1000 * (2 * right - 1)).to(dtype).requires_grad_()
        p = z.softmax(1) if case.mode == "multiclass" else z.sigmoid()
        if sign > 0:
            assert torch.equal(p, right.to(dtype))
        loss = case(p, y, from_logits=False, **extras)
        grad, behind = torch.autograd.grad(loss, (p, z))
        assert loss.isfinite()
        assert grad.isfinite().all()
        assert behind.isfinite().all()
    assert grad.abs().sum() > 0


@pytest.mark.parametrize("case", LOSSES, ids=str)
def test_memory_layout_does_not_matter(case: Case):
    z, y, extras = sample(case, spatial=(4, 5))
    value = case(z, y, **extras)
    strided = torch.stack([z, z], -1)[..., 0]
    turned = y.movedim(-1, 0).contiguous().movedim(0, -1)
    assert not strided.is_contiguous()
    torch.testing.assert_close(case(strided, turned, **extras), value)
    if z.ndim == 4:
        last = z.contiguous(memory_format=torch.channels_last)
        torch.testing.assert_close(case(last, y, **extras), value)


@pytest.mark.parametrize("case", [c for c in LOSSES if c.mode == "multiclass"], ids=str)
def test_class_ids_are_only_names(case: Case):
    z, y, extras = sample(case, spatial=(4, 5))
    order = torch.tensor([2, 0, 1])
    torch.testing.assert_close(
        case(z[:, order], order.argsort()[y], **extras), case(z, y, **extras)
    )


@given(seed=st.integers(0, 2**16), bins=st.integers(1, 50), per_image=st.booleans())
def test_binned_lovasz_is_off_by_one_bin_at_most(seed, bins, per_image):
    case = next(c for c in LOSSES if c.loss is lovasz_softmax_loss)
    z, y, _ = sample(case, spatial=(40,), seed=seed)
    options = {"reduction": "none", "per_image": per_image}
    exact_, binned = case(z, y, **options), case(z, y, bins=bins, **options)
    assert (exact_ - binned).abs().max() <= 1 / bins


ERRORS = st.floats(0, 1) | st.integers(0, 8).map(lambda eighths: eighths / 8)  # ties, bin edges


@given(
    groups=st.lists(st.tuples(ERRORS, st.booleans(), st.integers(1, 200)), max_size=6),
    own=ERRORS,
    bins=st.integers(1, 10_000) | st.integers(1, 8),
)
def test_binned_lovasz_keeps_its_bound_for_any_errors(groups, own, bins):
    """Of groups of pixels with one error each; the weights all together sum to 1."""
    groups = [(own, True, 1), *groups]
    copies = torch.tensor([count for _, _, count in groups])
    m = torch.tensor([error for error, _, _ in groups], dtype=torch.float64)
    m = m.repeat_interleave(copies).unsqueeze(0)
    foreground = torch.tensor([inside for _, inside, _ in groups])
    foreground = foreground.repeat_interleave(copies).unsqueeze(0)
    p = torch.where(foreground, 1 - m, m).requires_grad_()
    both, y = torch.stack([1 - p, p], 1), foreground.long()
    options = {"classes": [1], "from_logits": False}
    binned = lovasz_softmax_loss(both, y, bins=bins, **options)
    assert abs(binned - lovasz_softmax_loss(both, y, **options)) <= 1 / bins + 1e-12
    (weights,) = torch.autograd.grad(binned, p)
    assert (torch.where(foreground, -weights, weights) >= -1e-12).all()
    torch.testing.assert_close(weights.abs().sum().item(), 1.0)


@given(seed=st.integers(0, 2**16))
def test_lovasz_of_ties_does_not_depend_on_the_order_of_pixels(seed):
    g = torch.Generator().manual_seed(seed)
    z = torch.randint(-2, 3, (1, 12), generator=g).double()
    y = torch.randint(2, (1, 12), generator=g)
    order = torch.randperm(12, generator=g)
    torch.testing.assert_close(lovasz_hinge_loss(z[:, order], y[:, order]), lovasz_hinge_loss(z, y))
