"""The rules of the package that no formula states: void pixels, empty masks, precision."""

import numpy as np
import pytest
import torch
from cases import (
    CASES,
    CLASS_LOSSES,
    LOSSES,
    MODES,
    PIXEL_LOSSES,
    REGION_LOSSES,
    TWINS,
    Case,
    sample,
    weights,
)

import segloss_core as core


def value_and_gradient(case, z, y, **more):
    z = z.detach().requires_grad_()
    loss = case(z, y, **more)
    (grad,) = torch.autograd.grad(loss, z)
    return loss.detach(), grad


@pytest.mark.parametrize("case", CASES, ids=str)
@pytest.mark.parametrize("by", ["mask", "ignore_index"])
def test_void_pixels_cannot_leak_and_may_be_cropped_away(case: Case, by: str):
    """Value and gradient are those of the image without its void columns, of inf, -inf and NaN."""
    if by == "ignore_index" and case.soft and case.mode == "multiclass":
        pytest.skip("class probabilities have no value that could mean void")
    z, y, extras = sample(case, spatial=(3, 6))
    cropped = {name: x[..., :3] for name, x in extras.items()}
    if "instances" in extras:  # the instances under void pixels still count: put none there
        extras["instances"][..., 3:] = 0
    value, grad = value_and_gradient(case, z[..., :3], y[..., :3], **cropped)

    z[..., 3:] = torch.tensor([torch.inf, -torch.inf, torch.nan])
    y[..., 3:] = 255
    for name in ("pixel_weight", "distance"):
        if name in extras:
            extras[name][..., 3:] = torch.nan
    keep = torch.ones(2, 3, 6, dtype=torch.bool)
    keep[..., 3:] = False
    void = {"mask": keep} if by == "mask" else {"ignore_index": 255}
    with_void, full = value_and_gradient(case, z, y, **void, **extras)
    torch.testing.assert_close(with_void, value)
    torch.testing.assert_close(full[..., :3], grad)
    assert (full[..., 3:] == 0).all()


@pytest.mark.parametrize("case", CASES, ids=str)
def test_nan_on_a_valid_pixel_makes_value_and_gradient_nan(case: Case):
    """So that whoever asks whether the loss is finite hears of it, whatever is averaged."""
    z, y, extras = sample(case, spatial=(3, 4))
    z[0, ..., 0, 0] = torch.nan
    value, grad = value_and_gradient(case, z, y, **extras)
    assert value.isnan()
    assert grad.isnan().any()


@pytest.mark.parametrize("case", CASES, ids=str)
@pytest.mark.parametrize("sign", [1, -1])
def test_an_infinite_logit_makes_no_nan(case: Case, sign: int):
    """As a model gives it to an impossible class; on the right side it costs nothing."""
    z, y, extras = sample(case, spatial=(3, 4))
    z[0, ..., 0, 0] = sign * torch.inf
    if case.mode == "multiclass":
        z[0, 1:, 0, 0] = 0
        y[0, ..., 0, 0] = 0
        if case.soft:
            y[0, int(sign < 0), 0, 0] = 1  # that which is possible
        elif sign < 0:
            y[0, 0, 0] = 1
    else:
        y[0, ..., 0, 0] = int(sign > 0)
    value, grad = value_and_gradient(case, z, y, **extras)
    assert value.isfinite() or (value > 0 and "label_smoothing" in case.options)
    assert grad.isfinite().all()


@pytest.mark.parametrize("case", LOSSES, ids=str)
def test_a_channel_of_one_is_none(case: Case):
    """(B, 1, *) and (B, *) mean the same of ids, masks and weights."""
    z, y, extras = sample(case)
    keep = torch.rand(2, 2, 3, generator=torch.Generator().manual_seed(0)) > 0.3
    value = case(z, y, mask=keep, **extras)
    beside = {name: x.unsqueeze(1) for name, x in {"mask": keep, **extras}.items()}
    label = y if case.mode == "multilabel" else y.unsqueeze(1)
    torch.testing.assert_close(case(z, label, **beside), value)
    torch.testing.assert_close(case(z, label, mask=keep, **extras), value)
    torch.testing.assert_close(case(z, y, **beside), value)


@pytest.mark.parametrize("case", LOSSES, ids=str)
@pytest.mark.parametrize("dtype", [torch.uint16, torch.uint32, torch.uint64], ids=str)
def test_unsigned_integers_are_labels(case: Case, dtype: torch.dtype):
    """The usual dtypes of instance masks, which torch itself can hardly count with."""
    z, y, extras = sample(case)
    value = case(z, y, ignore_index=1, **extras)
    extras = {k: x.to(dtype) if k == "instances" else x for k, x in extras.items()}
    torch.testing.assert_close(case(z, y.to(dtype), ignore_index=1, **extras), value)


@pytest.mark.parametrize("case", LOSSES, ids=str)
@pytest.mark.parametrize("value", [-100, 1, 7, 255])
def test_any_value_can_mean_void(case: Case, value: int):
    z, y, extras = sample(case, spatial=(4,))
    y[0, ..., 0] = value
    keep = y != value
    if case.mode == "multilabel":  # here a label is void, not a pixel
        assert case(z, y, ignore_index=value, **extras).isfinite()
        return
    torch.testing.assert_close(
        case(z, y, ignore_index=value, **extras), case(z, y.where(keep, 0), mask=keep, **extras)
    )


def test_void_values_do_not_wrap_in_narrow_dtypes():
    """In uint8 -100 would be 156, in int8 255 would be -1."""
    z = torch.randn(1, 200, 3)
    y = torch.tensor([[156, 1, 2]], dtype=torch.uint8)
    loss = core.dice_loss(z, y, mode="multiclass", ignore_index=-100)
    torch.testing.assert_close(loss, core.dice_loss(z, y, mode="multiclass"))
    with pytest.raises(ValueError, match="target"):
        core.dice_loss(
            z, torch.tensor([[-1, 0, 1]], dtype=torch.int8), mode="multiclass", ignore_index=255
        )


@pytest.mark.parametrize("case", [c for c in LOSSES if c.mode == "multilabel"], ids=str)
def test_single_labels_can_be_void(case: Case):
    z, y, extras = sample(case, spatial=(4,))
    mask = torch.rand(y.shape, generator=torch.Generator().manual_seed(1)) > 0.4
    value, grad = value_and_gradient(case, z, y, mask=mask, **extras)
    other, _ = value_and_gradient(
        case, z + 3.0 * ~mask, 1 - y.where(mask, 1 - y), mask=mask, **extras
    )
    assert (grad[~mask] == 0).all()
    assert value.isfinite()
    assert other.isfinite()


@pytest.mark.parametrize("case", CASES, ids=str)
@pytest.mark.parametrize("nothing", ["all void", "no images", "no pixels"])
def test_nothing_valid_is_zero_with_a_zero_gradient(case: Case, nothing: str):
    """A scalar 0 on the graph, never NaN, also under inf and NaN."""
    shape = {"all void": (2, (3,)), "no images": (0, (3,)), "no pixels": (2, (0,))}[nothing]
    z, y, extras = sample(case, batch=shape[0], spatial=shape[1])
    if nothing == "all void":
        z[..., 0], z[..., 1] = torch.nan, torch.inf
        extras["mask"] = torch.zeros(2, 3, dtype=torch.bool)
    value, grad = value_and_gradient(case, z, y, **extras)
    assert value.shape == ()
    assert value == 0
    assert grad.shape == z.shape
    assert (grad == 0).all()


@pytest.mark.parametrize("case", LOSSES, ids=str)
@pytest.mark.parametrize("per_image", [False, True])
def test_an_image_of_void_pixels_changes_nothing(case: Case, per_image: bool):
    z, y, extras = sample(case, batch=3, spatial=(4,))
    mask = torch.ones(3, 4, dtype=torch.bool)
    mask[2] = False
    options = {"per_image": per_image} if case.is_region else {}
    two = {name: x[:2] for name, x in extras.items()}
    torch.testing.assert_close(
        case(z, y, mask=mask, **options, **extras), case(z[:2], y[:2], **options, **two)
    )


# ---- empty classes ----


@pytest.mark.parametrize("case", [c for c in REGION_LOSSES if c.mode == "binary"], ids=str)
@pytest.mark.parametrize("per_image", [False, True])
def test_an_empty_mask_costs_its_mean_probability(case: Case, per_image: bool):
    """False alarms on an empty image cost something and have a gradient.

    For the hinge it is the mean of its own errors, whose gradient does not vanish where a pixel is
    sure and wrong.
    """
    if case.options.get("smooth"):
        pytest.skip("with smooth the formula rules")
    z, _, _ = sample(case, spatial=(3, 4))
    empty = torch.zeros(2, 3, 4, dtype=torch.long)
    value, grad = value_and_gradient(case, z, empty, per_image=per_image)
    if case.loss is core.lovasz_hinge_loss:
        torch.testing.assert_close(value, (1 + z).relu().mean())
        torch.testing.assert_close(grad, (z > -1).double() / z.numel())
        assert case(torch.full_like(z, -1), empty) == 0
        assert case(torch.full_like(z, 1), empty) == 2
        return
    p = z.sigmoid()
    torch.testing.assert_close(value, p.mean())
    torch.testing.assert_close(grad, p * (1 - p) / p.numel())
    assert case(torch.full_like(z, -1e4), empty) == 0
    assert case(torch.full_like(z, 1e4), empty) == 1


@pytest.mark.parametrize("case", [c for c in CLASS_LOSSES if c.mode != "binary"], ids=str)
def test_an_absent_class_is_left_out_or_costs_its_mean_error(case: Case):
    """ "present" divides by the classes it counts; "all" takes the fallback."""
    z, y, _ = sample(case, spatial=(3, 4))
    y = y.clamp(max=1) if case.mode == "multiclass" else y.index_fill(1, torch.tensor(2), 0)
    p = z.softmax(1) if case.mode == "multiclass" else z.sigmoid()
    each = case(z, y, reduction="none")
    torch.testing.assert_close(case(z, y), each[:2].mean())
    torch.testing.assert_close(case(z, y, reduction="sum"), each[:2].sum())
    torch.testing.assert_close(case(z, y, classes="all"), each.mean())
    torch.testing.assert_close(case(z, y, classes=[2]), each[2])
    hinge = case.loss is core.lovasz_hinge_loss
    error = (1 + z).relu() if hinge else p
    if not case.options.get("smooth"):
        torch.testing.assert_close(each[2], error[:, 2].mean(), rtol=1e-6, atol=0)
    _, grad = value_and_gradient(case, z, y, classes=[2])
    assert (grad[:, 2] != 0).equal(z[:, 2] > -1 if hinge else torch.ones_like(z[:, 2]).bool())


@pytest.mark.parametrize("loss", [c for c in CLASS_LOSSES if c.mode == "multilabel"], ids=str)
def test_present_does_not_see_false_alarms_on_an_absent_label_and_all_does(loss: Case):
    """As the docstring of the package says."""
    z, y, _ = sample(loss, spatial=(3, 4))
    y[:, 2] = 0
    higher = z.clone()
    higher[:, 2] += 3
    assert loss(higher, y) == loss(z, y)
    assert loss(higher, y, classes="all") > loss(z, y, classes="all")


@pytest.mark.parametrize("case", [c for c in CLASS_LOSSES if c.mode == "multilabel"], ids=str)
def test_images_without_any_class_are_left_out_of_the_mean(case: Case):
    z, y, _ = sample(case, batch=3, spatial=(4,))
    y[2], y[0, 1] = 0, 0
    y[0, [0, 2], 0] = 1
    torch.testing.assert_close(case(z, y, per_image=True), case(z[:2], y[:2], per_image=True))
    each = case(z, y, per_image=True, reduction="none")
    mean = (each[0, [0, 2]].mean() + each[1][(y[1] > 0).any(-1)].mean()) / 2
    torch.testing.assert_close(case(z, y, per_image=True), mean)


@pytest.mark.parametrize("case", [c for c in REGION_LOSSES if not c.is_mean], ids=str)
def test_batch_and_image_sums_differ(case: Case):
    """per_image is another loss, that of single images, averaged."""
    z, y, _ = sample(case, spatial=(3, 4), seed=1)
    singles = torch.stack([case(z[i : i + 1], y[i : i + 1]) for i in range(2)])
    torch.testing.assert_close(case(z, y, per_image=True), singles.mean())
    assert (case(z, y) - singles.mean()).abs() > 1e-6


def test_balanced_cross_entropy_of_an_image_without_positives_keeps_a_gradient():
    """beta is 1 - eps there, so false alarms still cost eps of their cross entropy."""
    z, y = torch.zeros(1, 4, dtype=torch.float64, requires_grad=True), torch.zeros(1, 4)
    loss = core.balanced_cross_entropy_loss(z, y, eps=1e-3)
    assert loss.item() == pytest.approx(1e-3 * torch.tensor(2.0).log().item(), rel=1e-5)
    assert torch.autograd.grad(loss, z)[0].min() > 0


# ---- precision ----


@pytest.mark.parametrize("case", LOSSES, ids=str)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_half_precision_of_a_million_pixels(case: Case, dtype):
    """Sums over 10^6 pixels neither overflow nor round."""
    if "instances" in case.batch:
        pytest.skip("sums like those with pixel_weight")
    C = case.channels
    side = 1024
    z, y, extras = sample(case, batch=1, spatial=(side, side // (1 if C == 1 else 2)), dtype=dtype)
    z.requires_grad_()
    loss = case(z, y, **extras)
    assert loss.dtype == torch.float32
    (grad,) = torch.autograd.grad(loss, z)
    assert grad.dtype == dtype
    assert grad.isfinite().all()
    wide = {k: v.double() if v.is_floating_point() else v for k, v in extras.items()}
    torch.testing.assert_close(
        loss.double(), case(z.detach().double(), y, **wide), rtol=2e-5, atol=0
    )


@pytest.mark.parametrize("case", LOSSES, ids=str)
def test_float32_and_float64_keep_their_dtype(case: Case):
    for dtype in (torch.float32, torch.float64):
        z, y, extras = sample(case, dtype=dtype)
        assert case(z, y, **extras).dtype == dtype
        assert case(z, y, reduction="none", **extras).dtype == dtype


def weights_in_float64(case: Case):
    """Every weight that the case takes."""
    names, C = case.loss.__kwdefaults__, case.channels
    if "weight" in names and C > 1:
        yield "weight", weights(*range(1, C + 1))
    if "pos_weight" in names and case.mode != "multiclass":
        yield "pos_weight", weights(*range(1, C + 1))
    if "alpha" in names and case.loss is core.focal_loss:
        yield "alpha", weights(0.2, 0.5, 0.9)[:C]
    if "beta" in names and not case.is_region:
        yield "beta", weights(0.2, 0.5, 0.9)[:C]
    if "class_weight" in names:
        yield "class_weight", weights(1, 4)


@pytest.mark.parametrize("case", LOSSES, ids=str)
@pytest.mark.parametrize("dtype", [torch.float16, torch.float32], ids=str)
def test_settings_of_the_caller_change_neither_value_nor_dtype(case: Case, dtype: torch.dtype):
    """Not the default dtype or device, not autocast, not weights in float64: the input decides."""
    z, y, extras = sample(case, batch=1, spatial=(300, 300), dtype=dtype)
    mask = torch.rand(1, 300, 300, generator=torch.Generator().manual_seed(0)) > 0.1
    expected = case(z, y, mask=mask, **extras)
    assert expected.dtype == torch.float32

    def same():
        found = case(z, y, mask=mask, **extras)
        assert found.dtype == torch.float32
        torch.testing.assert_close(found, expected, rtol=1e-6, atol=0)

    before = torch.get_default_dtype()
    try:
        for default in (torch.float16, torch.bfloat16, torch.float64):
            torch.set_default_dtype(default)
            same()
    finally:
        torch.set_default_dtype(before)
    with torch.device("meta"):
        same()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        same()
    extras = {k: x.double() if x.is_floating_point() else x for k, x in extras.items()}
    same()
    for name, weight in weights_in_float64(case):
        for large in (False, True):
            at = slice(None) if large else slice(0, 4)
            few = {k: x[:, at] for k, x in extras.items()}
            area = (z[..., at, :], y[..., at, :])
            wide = case(*area, **few, **{name: weight})
            assert wide.dtype == torch.float32
            torch.testing.assert_close(wide, case(*area, **few, **{name: weight.float()}))


@pytest.mark.parametrize(
    "case", [c for c in REGION_LOSSES if c.loss is not core.boundary_loss], ids=str
)
def test_rounding_takes_no_loss_below_0(case: Case):
    """Where the prediction is right, sums of squares and steps of bins are off by a digit."""
    z, y, _ = sample(case, batch=1, spatial=(64, 64), dtype=torch.float32)
    one_hot = torch.nn.functional.one_hot(y, 3).movedim(-1, 1) if y.ndim < z.ndim else y
    options = [{}, {"squared": True}] if case.loss is core.dice_loss else [{}]
    for sure in (7.0, 9.0, 11.0, 20.0, 100.0):
        for more in options:
            loss = case(sure * (2.0 * one_hot - 1), y, **more)
            assert loss >= 0, (sure, more)


@pytest.mark.parametrize("case", CASES, ids=str)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_huge_logits_have_finite_values_and_gradients(case: Case, dtype):
    """Also with exponents below 1, for right and for wrong predictions."""
    z, y, extras = sample(case, dtype=dtype, spatial=(3,))
    one_hot = torch.nn.functional.one_hot(y, 3).movedim(-1, 1) if y.ndim < z.ndim else y.round()
    for size in (60.0, 1e4):
        for logits in (size * (2 * one_hot - 1), size * (1 - 2 * one_hot), z.sign() * size):
            value, grad = value_and_gradient(case, logits.to(dtype), y, **extras)
            assert value.isfinite()
            assert grad.isfinite().all()


@pytest.mark.parametrize("mode", ["binary", "multiclass"])
def test_the_digits_of_focal_loss_at_large_logits(mode: str):
    """log p and log(1 - p) of two logits that are large, but not far apart."""
    case = next(c for c in PIXEL_LOSSES if c.loss is core.focal_loss and c.mode == mode)
    z, y, _ = sample(case, spatial=(8, 8), dtype=torch.float32, scale=25.0)
    if mode == "multiclass":
        z = z + 1e4
    value, grad = value_and_gradient(case, z, y)
    exact, slope = value_and_gradient(case, z.double(), y)
    torch.testing.assert_close(value.double(), exact, rtol=1e-6, atol=0)
    assert (grad - slope).abs().max() < 3e-6 * slope.abs().max()


def test_balanced_cross_entropy_of_positives_alone_keeps_its_digits():
    """The weight of the other side, 1e-4, is not lost in that of this one."""
    z = torch.linspace(-3, 3, 12).view(1, 12)
    for y in (torch.ones(1, 12), torch.zeros(1, 12)):
        found = core.balanced_cross_entropy_loss(z, y)
        exact = core.balanced_cross_entropy_loss(z.double(), y)
        torch.testing.assert_close(found.double(), exact, rtol=1e-6, atol=0)


def test_sums_of_many_small_numbers_do_not_drift():
    """10^6 equal float32 summands, by class too: exact to the last digits."""
    z = torch.full((1, 2, 1000, 1000), 0.1)
    y = torch.zeros(1, 1000, 1000, dtype=torch.long)
    y[..., :1] = 1
    p = torch.tensor(0.5, dtype=torch.float64)
    each = core.dice_loss(z, y, mode="multiclass", reduction="none").double()
    expected = torch.stack([1 - 2 * 999e3 * p / (1e6 * p + 999e3), 1 - 2e3 * p / (1e6 * p + 1e3)])
    torch.testing.assert_close(each, expected, rtol=3e-7, atol=0)


# ---- single losses ----


@pytest.mark.parametrize("mode", MODES)
def test_focal_with_gamma_0_is_cross_entropy(mode: str):
    """The same normaliser, so the same number."""
    case = next(c for c in PIXEL_LOSSES if c.loss is core.focal_loss and c.mode == mode)
    z, y, _ = sample(case, spatial=(20, 20), dtype=torch.float32, scale=5.0)
    options = {"mode": mode, "reduction": "none"}
    torch.testing.assert_close(
        core.focal_loss(z, y, gamma=0, **options),
        core.cross_entropy_loss(z, y, **options),
        rtol=2e-7,
        atol=2e-6,
    )


def test_focal_alpha_weighs_positives_and_its_complement_negatives():
    """Not alpha for both, nor the other way round."""
    z, y = torch.zeros(1, 2), torch.tensor([[1, 0]])
    each = core.focal_loss(z, y, alpha=0.25, gamma=0, reduction="none")
    torch.testing.assert_close(each / core.cross_entropy_loss(z, y), torch.tensor([[0.25, 0.75]]))


def test_focal_over_positives_divides_by_at_least_one():
    z = torch.zeros(1, 4)
    none, two = torch.zeros(1, 4).long(), torch.tensor([[1, 1, 0, 0]])
    for y, n in ((none, 1), (two, 2)):
        total = core.focal_loss(z, y, reduction="sum")
        torch.testing.assert_close(core.focal_loss(z, y, normalizer="positives"), total / n)
    scores, ids = torch.zeros(1, 3, 4), torch.tensor([[0, 1, 2, 255]])
    total = core.focal_loss(scores, ids, mode="multiclass", ignore_index=255, reduction="sum")
    mean = core.focal_loss(scores, ids, mode="multiclass", ignore_index=255, normalizer="positives")
    torch.testing.assert_close(mean, total / 2)


def test_multiclass_focal_is_the_softmax_focal_loss():
    """Not one sigmoid per class."""
    z = torch.tensor([[[0.5], [-1.0], [2.0]]], dtype=torch.float64)
    p = z.softmax(1)[0, :, 0]
    loss = core.focal_loss(z, torch.tensor([[1]]), mode="multiclass")
    torch.testing.assert_close(loss, -((1 - p[1]) ** 2) * p[1].log())
    shifted = core.focal_loss(z + 100, torch.tensor([[1]]), mode="multiclass")
    torch.testing.assert_close(shifted, loss)  # a softmax knows differences only


@pytest.mark.parametrize("alpha", [0.1, 0.3, 2.0])
@pytest.mark.parametrize("beta", [0.2, 0.7, 1.5])
def test_tversky_alpha_weighs_false_positives_and_beta_false_negatives(alpha, beta):
    """A pure-FP and a pure-FN prediction tell alpha and beta apart."""
    y = torch.tensor([[1, 1, 0, 0]])
    too_much = torch.tensor([[1.0, 1, 1, 0]])
    too_little = torch.tensor([[1.0, 0, 0, 0]])
    options = {"alpha": alpha, "beta": beta, "from_logits": False}
    fp = core.tversky_loss(too_much, y, **options).item()
    fn = core.tversky_loss(too_little, y, **options).item()
    assert fp == pytest.approx(1 - 2 / (2 + alpha))
    assert fn == pytest.approx(1 - 1 / (1 + beta))
    z = 50 * (2 * torch.stack([1 - too_much, too_much], 1) - 1)
    both = core.tversky_loss(z, y, mode="multiclass", alpha=alpha, beta=beta, reduction="none")
    torch.testing.assert_close(
        both.double(), weights(1 - 1 / (1 + beta), 1 - 2 / (2 + alpha)), rtol=1e-6, atol=1e-7
    )


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("soft", [False, True])
def test_tversky_contains_dice_and_jaccard(mode, soft):
    case = next(c for c in CASES if c.loss is core.dice_loss and c.mode == mode and c.soft == soft)
    z, y, _ = sample(case, spatial=(4, 4))
    for s in (0.0, 1.0):
        dice = core.dice_loss(z, y, mode=mode, smooth=s)
        torch.testing.assert_close(core.tversky_loss(z, y, mode=mode, smooth=s / 2), dice)
        jaccard = core.jaccard_loss(z, y, mode=mode, smooth=s)
        tversky = core.tversky_loss(z, y, mode=mode, alpha=1.0, beta=1.0, smooth=s)
        torch.testing.assert_close(tversky, jaccard)
    each = core.dice_loss(z, y, mode=mode, reduction="none")
    other = core.jaccard_loss(z, y, mode=mode, reduction="none")
    torch.testing.assert_close(1 - each, 2 * (1 - other) / (2 - other))


@pytest.mark.parametrize("loss", [core.dice_loss, core.jaccard_loss, core.tversky_loss])
def test_soft_targets_are_best_predicted_as_they_are(loss):
    """The loss is 0 at p = y and more anywhere else, to either side."""
    y = torch.tensor([[0.5, 0.2, 0.9]], dtype=torch.float64)
    assert loss(y, y, from_logits=False).item() == pytest.approx(0, abs=1e-12)
    for step in (-0.05, 0.05):
        assert loss(y + step, y, from_logits=False) > 0.01


@pytest.mark.parametrize("mode", MODES)
def test_lovasz_and_others_on_hard_predictions_are_the_index(mode):
    """On a vertex of the cube every overlap loss is one minus its index."""
    g = torch.Generator().manual_seed(0)
    shape = (2, 3, 30)
    y = torch.randint(
        3 if mode == "multiclass" else 2, (2, 30) if mode != "multilabel" else shape, generator=g
    )
    pred = torch.randint(3 if mode == "multiclass" else 2, y.shape, generator=g)
    one_hot = torch.nn.functional.one_hot
    p = (one_hot(pred, 3).movedim(-1, 1) if mode == "multiclass" else pred).double()
    iou = core.jaccard_index(pred, y, mode=mode).double()
    dice = core.dice_score(pred, y, mode=mode).double()
    close = {"rtol": 1e-6, "atol": 1e-7}
    options = {"mode": mode, "from_logits": False}
    torch.testing.assert_close(core.jaccard_loss(p, y, **options), 1 - iou, **close)
    torch.testing.assert_close(core.dice_loss(p, y, **options), 1 - dice, **close)
    if mode == "multiclass":
        torch.testing.assert_close(
            core.lovasz_softmax_loss(p, y, from_logits=False), 1 - iou, **close
        )
    else:
        hinge = core.lovasz_hinge_loss(2 * p - 1, y, mode=mode)
        torch.testing.assert_close(hinge, 2 * (1 - iou), **close)


def test_smooth_is_added_to_two_tp():
    """One meaning, (2 TP + s) / (2 TP + FP + FN + s)."""
    p, y = torch.tensor([[0.5, 1.0, 0.0]]), torch.tensor([[0, 1, 1]])
    assert core.dice_loss(p, y, smooth=1.0, from_logits=False).item() == pytest.approx(1 - 3 / 4.5)
    assert core.jaccard_loss(p, y, smooth=1.0, from_logits=False).item() == pytest.approx(
        1 - 2 / 3.5
    )


def test_class_weights_are_divided_out_again():
    """Weights [1, 2, 3] and [2, 4, 6] are the same loss."""
    for case in REGION_LOSSES:
        if case.mode != "binary":
            z, y, _ = sample(case)
            w = weights(1, 2, 3)
            torch.testing.assert_close(case(z, y, weight=2 * w), case(z, y, weight=w))


@pytest.mark.parametrize("case", LOSSES, ids=str)
def test_nothing_given_is_changed(case: Case):
    """Neither a tensor nor anything else that the caller still has."""
    z, y, extras = sample(case)
    mask = torch.ones(2, 2, 3, dtype=torch.bool)
    given = [z, y, mask, *extras.values()]
    before = [x.clone() for x in given]
    case(z, y, mask=mask, ignore_index=1, **extras)
    assert all(torch.equal(a, b) for a, b in zip(given, before, strict=True))


@pytest.mark.parametrize("case", LOSSES, ids=str)
def test_a_few_steps_of_descent_lower_the_loss(case: Case):
    z, y, extras = sample(case, spatial=(4, 4))
    first = case(z, y, **extras)
    for _ in range(50):
        z = z - 20.0 * value_and_gradient(case, z, y, **extras)[1]
    assert case(z, y, **extras) < 0.9 * first


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
@pytest.mark.parametrize("case", CASES, ids=str)
def test_cuda_gives_the_same(case: Case):
    z, y, extras = sample(case, spatial=(8, 9))
    value, grad = value_and_gradient(case, z, y, **extras)
    options = {k: v.cuda() for k, v in case.options.items() if torch.is_tensor(v)}
    cuda = {k: v.cuda() for k, v in extras.items()}
    other, other_grad = value_and_gradient(case, z.cuda(), y.cuda(), **options, **cuda)
    torch.testing.assert_close(other.cpu(), value)
    torch.testing.assert_close(other_grad.cpu(), grad)


@pytest.mark.parametrize(
    ("name", "option"),
    [
        ("weighted_cross_entropy_loss", "beta"),
        ("balanced_cross_entropy_loss", "beta"),
        ("cross_entropy_loss", "pos_weight"),
        ("focal_loss", "alpha"),
    ],
)
def test_a_computed_number_is_a_number(name: str, option: str):
    """A tensor without dimensions, as `negatives / positives` is one, or one of numpy's."""
    z, y = torch.randn(2, 6), torch.arange(12).reshape(2, 6) % 3 == 0
    loss = getattr(core, name)
    expected = loss(z, y, **{option: 0.7})
    for value in (torch.tensor(0.7, dtype=torch.float64), np.float64(0.7), np.float32(0.7)):
        torch.testing.assert_close(loss(z, y, **{option: value}), expected)


def test_options_as_configuration_files_have_them():
    """Lists of numbers and numpy's numbers, in the function and in its module."""
    z, y = torch.randn(2, 3, 4, 4), torch.randint(3, (2, 4, 4))
    three, one = np.float64(0.3), np.int64(1)
    for name, chosen, plain in (
        ("cross_entropy_loss", {"weight": [1, 2, 5]}, {"weight": torch.tensor([1.0, 2, 5])}),
        ("focal_loss", {"alpha": (0.5, 1, 2)}, {"alpha": torch.tensor([0.5, 1, 2])}),
        ("dice_loss", {"weight": [1, 0.5, 2]}, {"weight": torch.tensor([1, 0.5, 2])}),
        ("dice_loss", {"ignore_index": one, "smooth": three}, {"ignore_index": 1, "smooth": 0.3}),
        ("jaccard_loss", {"classes": [np.int32(2), one]}, {"classes": [2, 1]}),
        ("lovasz_softmax_loss", {"bins": np.int32(8)}, {"bins": 8}),
        ("tversky_loss", {"alpha": three, "gamma": one}, {"alpha": 0.3, "gamma": 1}),
    ):
        loss, mode = getattr(core, name), {"mode": "multiclass"}
        expected = loss(z, y, **mode, **plain)
        torch.testing.assert_close(loss(z, y, **mode, **chosen), expected)
        torch.testing.assert_close(TWINS[loss](**mode, **chosen)(z, y), expected)
    ids = torch.randint(4, (2, 5, 6))
    for spacing in (np.array([2.0, 0.5], dtype=np.float32), [np.float64(2), np.float32(0.5)]):
        found = core.unet_weight_map(ids, class_weight=[1, 4], spacing=spacing)
        plain = core.unet_weight_map(ids, class_weight=torch.tensor([1.0, 4]), spacing=[2.0, 0.5])
        torch.testing.assert_close(found, plain)
