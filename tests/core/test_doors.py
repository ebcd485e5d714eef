"""Losses that a caller writes down, what the named ones are of them, and the hardest pixels."""

import math

import pytest
import torch
import torch.nn.functional as F
from cases import (
    CASES,
    LOSSES,
    MODES,
    PIXEL_LOSSES,
    Case,
    focal_term,
    sample,
    specific_dice,
    weights,
)

import segloss_core as core

P, Y = torch.tensor([[0.9, 0.8, 0.3, 0.2]], dtype=torch.float64), torch.tensor([[1, 1, 0, 0]])
PROBABILITIES = {"from_logits": False}


def close(found, expected, **options):
    found, expected = (torch.as_tensor(x, dtype=torch.float64) for x in (found, expected))
    torch.testing.assert_close(found, expected, **{"rtol": 1e-9, "atol": 1e-11, **options})


def data(mode, soft=False, seed=0):
    case = next(c for c in CASES if c.loss is core.dice_loss and c.mode == mode and c.soft == soft)
    z, y, _ = sample(case, spatial=(5, 4), seed=seed)
    return z, y


# ---- a caller's formula is the named loss ----


def cross_entropy(log_p, log_q):
    return -log_p


def dice(tp, fp, fn, tn):
    return 2 * tp / (2 * tp + fp + fn)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("soft", [False, True])
def test_terms_of_the_named_pixel_losses(mode, soft):
    z, y = data(mode, soft)
    several = [{}] if mode == "binary" else [{}, {"weight": weights(1, 3, 0.5)}]
    for options in several:
        for reduction in ("mean", "sum", "none"):
            more = {"mode": mode, "reduction": reduction, **options}
            expected = core.cross_entropy_loss(z, y, **more)
            close(core.pixel_loss(z, y, term=cross_entropy, **more), expected)
    close(core.pixel_loss(z, y, term=focal_term, mode=mode), core.focal_loss(z, y, mode=mode))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("soft", [False, True])
@pytest.mark.parametrize("options", [{}, {"per_image": True}, {"classes": "all"}], ids=str)
def test_indices_of_the_named_region_losses(mode, soft, options):
    z, y = data(mode, soft)
    options = {"mode": mode, **options}
    for index, loss, more in (
        (dice, core.dice_loss, {}),
        (lambda tp, fp, fn, tn: tp / (tp + fp + fn), core.jaccard_loss, {}),
        (
            lambda tp, fp, fn, tn: tp / (tp + 0.3 * fp + 0.7 * fn),
            core.tversky_loss,
            {"alpha": 0.3, "beta": 0.7},
        ),
    ):
        close(core.region_loss(z, y, index=index, **options), loss(z, y, **options, **more))


# ---- identities: the map of losses has fewer places than names ----


def distance_over_union(a):
    """Boundary DoU, for a given share a."""
    return lambda tp, fp, fn, tn: 1 - (fp + fn) / (fp + fn + (1 - a) * tp)


def f_score(b):
    return lambda tp, fp, fn, tn: (1 + b * b) * tp / ((1 + b * b) * tp + b * b * fn + fp)


def penalty(k):
    return lambda score: (1 - score) / (1 + k * (1 - score))


def generalized_cross_entropy(q):
    return lambda log_p, log_q: -torch.expm1(q * log_p) / q


def wasserstein_dice(z, y, cost):
    """The generalised Wasserstein Dice loss by its definition, from class ids."""
    p = z.softmax(1).movedim(1, -1)
    error = (cost[y] * p).sum(-1)
    found = (1 - error)[y > 0].sum()
    return 1 - 2 * found / (2 * found + error.sum())


IDENTITIES = {
    "boundary DoU, a = -1: Dice": lambda z, y: (
        core.region_loss(z, y, index=distance_over_union(-1.0)),
        core.dice_loss(z, y),
    ),
    "boundary DoU, a = 0: Jaccard": lambda z, y: (
        core.region_loss(z, y, index=distance_over_union(0.0)),
        core.jaccard_loss(z, y),
    ),
    "boundary DoU, a = 0.8: Tversky with 1 / (1 - a)": lambda z, y: (
        core.region_loss(z, y, index=distance_over_union(0.8)),
        core.tversky_loss(z, y, alpha=5, beta=5),
    ),
    "penalty of Dice: Tversky with (1 + k) / 2, divided by 1 + k": lambda z, y: (
        core.dice_loss(z, y, transform=penalty(2.5)),
        core.tversky_loss(z, y, alpha=1.75, beta=1.75) / 3.5,
    ),
    "F-beta: Tversky": lambda z, y: (
        core.region_loss(z, y, index=f_score(1.5)),
        core.tversky_loss(z, y, alpha=1 / 3.25, beta=2.25 / 3.25),
    ),
    "recall: Tversky with 0 and 1": lambda z, y: (
        core.region_loss(z, y, index=lambda tp, fp, fn, tn: tp / (tp + fn)),
        core.tversky_loss(z, y, alpha=0, beta=1),
    ),
    "noise-robust Dice with exponent 1: Dice": lambda z, y: (
        (z.sigmoid() - y).abs().sum() / (z.sigmoid() + y).sum(),
        core.dice_loss(z, y),
    ),
    "GCE, q to 0: cross entropy": lambda z, y: (
        core.pixel_loss(z, y, term=generalized_cross_entropy(1e-12)),
        core.cross_entropy_loss(z, y),
    ),
    "GCE, q = 1: mean absolute error": lambda z, y: (
        core.pixel_loss(z, y, term=generalized_cross_entropy(1.0)),
        (z.sigmoid() - y).abs().mean(),
    ),
    "Wasserstein Dice with costs 0 and 1: Dice of the foreground": lambda z, y: (
        wasserstein_dice(torch.stack([0 * z, z], 1), y, 1 - torch.eye(2, dtype=torch.float64)),
        core.dice_loss(z, y),
    ),
    "generalised Dice of one class: Dice": lambda z, y: (
        core.generalized_dice_loss(z, y),
        core.dice_loss(z, y),
    ),
    "a power by transform: that by gamma": lambda z, y: (
        core.tversky_loss(z, y, alpha=0.3, beta=0.7, transform=lambda s: (1 - s) ** 0.75),
        core.tversky_loss(z, y, alpha=0.3, beta=0.7, gamma=0.75),
    ),
    "MCC of the complement: MCC": lambda z, y: (core.mcc_loss(-z, 1 - y), core.mcc_loss(z, y)),
}


@pytest.mark.parametrize("sides", IDENTITIES.values(), ids=IDENTITIES.keys())
@pytest.mark.parametrize("seed", [0, 1])
def test_two_names_of_one_loss(sides, seed):
    """In value and in gradient."""
    z, y = data("binary", seed=seed)
    z.requires_grad_()
    left, right = sides(z, y)
    close(left, right)
    close(*(torch.autograd.grad(side, z)[0] for side in (left, right)))


def test_all_transforms_of_one_region_pull_in_one_direction():
    """They differ in the length of the gradient alone."""
    z, y = data("binary")
    z.requires_grad_()
    plain = torch.autograd.grad(core.dice_loss(z, y), z)[0]
    for transform in ("log", "log_cosh", penalty(2.5), lambda s: (-s.log()) ** 0.3):
        other = torch.autograd.grad(core.dice_loss(z, y, transform=transform), z)[0]
        cosine = F.cosine_similarity(other.flatten(), plain.flatten(), 0)
        assert cosine.item() == pytest.approx(1, abs=1e-12)
        assert abs(other.norm() / plain.norm() - 1) > 0.05


# ---- values that were calculated elsewhere ----


@pytest.mark.parametrize(
    ("value", "loss", "options"),
    [
        (0.396977, core.mcc_loss, {}),
        (0.175373, core.region_loss, {"index": f_score(1.5)}),
        (0.018032, core.dice_loss, {"transform": "log_cosh"}),
        (0.211309, core.dice_loss, {"transform": "log"}),
        (0.627300, core.dice_loss, {"transform": lambda s: (-s.log()) ** 0.3}),
        (0.129032, core.dice_loss, {"transform": penalty(2.5)}),
        (0.289909, core.cross_entropy_loss, {"top_k": 0.5}),
        (0.223144, core.cross_entropy_loss, {"top_k": 0.5, "mask": Y > 0}),
    ],
)
def test_values_of_four_pixels(value, loss, options):
    assert loss(P, Y, **PROBABILITIES, **options).item() == pytest.approx(value, abs=1e-6)


@pytest.mark.parametrize(
    ("value", "term"),
    [
        (0.315634, generalized_cross_entropy(0.7)),
        (1.235667, lambda log_p, log_q: -0.1 * log_p + 4 * log_q.exp()),  # symmetric
        (0.656675, lambda log_p, log_q: -log_p + log_q.exp()),  # poly-1
    ],
)
def test_values_of_terms_at_p_of_seven_tenths(value, term):
    p, y = torch.tensor([[0.7, 0.3]], dtype=torch.float64), torch.tensor([[1, 0]])
    loss = core.pixel_loss(p, y, term=term, **PROBABILITIES)
    assert loss.item() == pytest.approx(value, abs=1e-6)
    both = torch.stack([1 - p, p], 1)
    loss = core.pixel_loss(both, y, term=term, mode="multiclass", **PROBABILITIES)
    assert loss.item() == pytest.approx(value, abs=1e-6)


def test_generalized_dice_of_two_classes():
    both = torch.stack([1 - P, P], 1)
    loss = core.generalized_dice_loss(both, Y, mode="multiclass", **PROBABILITIES)
    assert loss.item() == pytest.approx(0.2, abs=1e-12)


# ---- the hardest pixels ----


@pytest.mark.parametrize("case", PIXEL_LOSSES, ids=str)
def test_all_of_the_hardest_are_the_mean_to_the_bit(case: Case):
    z, y, extras = sample(case, spatial=(4, 5), dtype=torch.float32)
    z.requires_grad_()
    losses = [case(z, y, top_k=k, **extras) for k in (None, 1, 1.0)]
    gradients = [torch.autograd.grad(loss, z)[0] for loss in losses]
    assert all(torch.equal(loss, losses[0]) for loss in losses)
    assert all(torch.equal(gradient, gradients[0]) for gradient in gradients)


@pytest.mark.parametrize("case", PIXEL_LOSSES, ids=str)
@pytest.mark.parametrize("k", [1e-6, 0.25, 0.7])
def test_the_hardest_pixels_are_a_choice_without_gradient(case: Case, k: float):
    """All reductions are those of the ceil(k n) largest of the losses that "none" shows."""
    z, y, extras = sample(case, spatial=(4, 5))
    mask = torch.rand(2, 4, 5, generator=torch.Generator().manual_seed(0)) > 0.3
    extras["mask"] = mask
    z.requires_grad_()
    each = case(z, y, reduction="none", **extras)
    keep = mask.unsqueeze(1).expand_as(each) if case.mode == "multilabel" else mask
    count = math.ceil(k * keep.sum().item())
    largest = each[keep].topk(count)
    chosen = case(z, y, top_k=k, reduction="none", **extras)
    assert (chosen > 0).sum() == count
    close(chosen[chosen > 0].sort().values, largest.values.sort().values)
    close(case(z, y, top_k=k, reduction="sum", **extras), largest.values.sum())
    mean = case(z, y, top_k=k, **extras)
    close(mean, largest.values.mean())
    close(*(torch.autograd.grad(x, z, retain_graph=True)[0] for x in (mean, largest.values.mean())))


@pytest.mark.parametrize("mode", ["multiclass", "multilabel"])
def test_of_the_hardest_the_others_are_void(mode):
    """So with class weights the mean divides by the weights of those that are left."""
    z, y = data(mode)
    options = {"mode": mode, "weight": weights(1, 5, 0.3)}
    keep = core.cross_entropy_loss(z, y, top_k=0.3, reduction="none", **options) > 0
    expected = core.cross_entropy_loss(z, y, mask=keep, **options)
    close(core.cross_entropy_loss(z, y, top_k=0.3, **options), expected)


def test_positives_are_counted_among_all_pixels():
    z, y = data("binary")
    total = core.focal_loss(z, y, top_k=0.3, reduction="sum")
    close(core.focal_loss(z, y, top_k=0.3, normalizer="positives"), total / y.sum())


@pytest.mark.parametrize("loss", [core.cross_entropy_loss, core.focal_loss])
@pytest.mark.parametrize("masked", [False, True])
def test_equal_losses_share_the_last_places(loss, masked):
    """So the order of pixels matters neither to the value nor to the gradient."""
    z = torch.tensor([[2.0, -1, -1, -1, 0.5, -1]], dtype=torch.float64, requires_grad=True)
    y = torch.tensor([[0, 1, 1, 1, 0, 1]])
    options = {"mask": torch.tensor([[True] * 5 + [False]])} if masked else {}
    n = 5 if masked else 6
    each = loss(z, y, reduction="none")[0]
    value = loss(z, y, top_k=3 / n, **options)
    close(value, (each[0] + 2 * each[1]) / 3)
    (grad,) = torch.autograd.grad(value, z)
    equal = [1, 2, 3] if masked else [1, 2, 3, 5]
    assert grad[0, 4] == 0
    assert (grad[0, equal] == grad[0, 1]).all()
    (whole,) = torch.autograd.grad(each[1], z)
    close(grad[0, equal].sum(), 2 / 3 * whole[0, 1])


def test_a_share_of_a_count_is_that_count():
    """0.07 times 100 is a little more than 7 in binary numbers."""
    z = torch.randn(1, 100, generator=torch.Generator().manual_seed(0))
    for percent in range(1, 101):
        kept = core.cross_entropy_loss(z, z > 0, top_k=percent / 100, reduction="none") > 0
        assert kept.sum() == percent


@pytest.mark.parametrize("case", [c for c in CASES if "top_k" in c.options], ids=str)
def test_the_hardest_pixels_by_sort_and_by_selection(case: Case, monkeypatch):
    """What a GPU does, where nobody may wait for the number of pixels, gives the same."""
    z, y, extras = sample(case, spatial=(4, 5))
    extras["mask"] = torch.rand(2, 4, 5, generator=torch.Generator().manual_seed(0)) > 0.3
    z.requires_grad_()
    found = []
    for by_selection in (True, False):
        monkeypatch.setattr("segloss_core.reduction.on_cpu", lambda _, by=by_selection: by)
        value = case(z, y, **extras)
        found.append((value.detach(), torch.autograd.grad(value, z)[0]))
    assert torch.equal(found[0][0], found[1][0])
    assert torch.equal(found[0][1], found[1][1])


# ---- one Dice of all classes, and a correlation ----


def test_generalized_dice_leaves_absent_classes_out():
    """Their weight would be infinite; where no class is left, false alarms cost their mean."""
    z, y = data("multilabel")
    y[:, 2] = 0
    two = core.generalized_dice_loss(z[:, :2], y[:, :2], mode="multilabel")
    for options in ({}, {"classes": "all"}, {"classes": [0, 1]}, {"classes": [2, 1, 0]}):
        close(core.generalized_dice_loss(z, y, mode="multilabel", **options), two)
    alone = core.generalized_dice_loss(z, y, mode="multilabel", classes=[2])
    close(alone, z.sigmoid()[:, 2].mean())
    none = torch.zeros_like(y)
    everything = core.generalized_dice_loss(z, none, mode="multilabel", classes="all")
    close(everything, z.sigmoid().mean())
    assert core.generalized_dice_loss(z, none, mode="multilabel") == 0


def test_generalized_dice_is_one_region():
    z, y = data("multiclass")
    options = {"mode": "multiclass", "per_image": True}
    each = core.generalized_dice_loss(z, y, reduction="none", **options)
    assert each.shape == (2, 1)
    close(core.generalized_dice_loss(z, y, **options), each.mean())
    close(core.generalized_dice_loss(z, y, reduction="sum", **options), each.sum())
    assert core.generalized_dice_loss(z, y, mode="multiclass", reduction="none").shape == (1,)
    sizes = torch.bincount(y.flatten()).double()
    for name, w in (("inverse", 1 / sizes), ("inverse_square", sizes**-2)):
        expected = core.generalized_dice_loss(z, y, mode="multiclass", weight=7 * w)
        close(core.generalized_dice_loss(z, y, mode="multiclass", weight=name), expected)


@pytest.mark.parametrize("label", [0, 1])
def test_mcc_of_a_target_without_another_side_costs_the_mean_error(label):
    z, y = data("binary")
    y = torch.full_like(y, label)
    z.requires_grad_()
    loss, error = core.mcc_loss(z, y), (z.sigmoid() - y).abs().mean()
    close(loss, error)
    close(*(torch.autograd.grad(x, z)[0] for x in (loss, error)))


@pytest.mark.parametrize("sure", [0.0, 1.0])
def test_mcc_of_a_prediction_without_another_side_has_a_gradient(sure):
    p = torch.full_like(P, sure).requires_grad_()
    loss = core.mcc_loss(p, Y, **PROBABILITIES)
    assert loss == 1
    (grad,) = torch.autograd.grad(loss, p)
    assert grad.isfinite().all()
    assert (grad[Y == 1] < 0).all()
    assert (grad[Y == 0] > 0).all()


@pytest.mark.parametrize("transform", [None, "log", "log_cosh"])
def test_a_score_of_zero_has_a_finite_loss_and_gradient(transform):
    """-log s included, which no clamp holds still where it is worst."""
    p = (1.0 - Y).requires_grad_()
    loss = core.dice_loss(p, Y, transform=transform, **PROBABILITIES)
    (grad,) = torch.autograd.grad(loss, p)
    assert loss.isfinite()
    assert grad.isfinite().all()
    assert (grad[Y == 1] < 0).all()


@pytest.mark.parametrize("mode", MODES)
def test_a_transform_is_not_asked_for_an_empty_class(mode):
    z, y = data(mode)
    y = torch.zeros_like(y)
    for transform in ("log", "log_cosh", penalty(1.0)):
        options = {"mode": mode, "classes": "all", "transform": transform, "reduction": "none"}
        each = core.dice_loss(z.requires_grad_(), y, **options)
        p = z.softmax(1) if mode == "multiclass" else z.sigmoid()
        p = p.unsqueeze(1) if mode == "binary" else p
        start = 1 if mode == "multiclass" else 0  # background is all there is
        close(each[start:], p[:, start:].transpose(0, 1).flatten(1).mean(1))
        (grad,) = torch.autograd.grad(each.sum(), z)
        assert grad.isfinite().all()


# ---- what is looked at, and when ----


def test_a_function_is_tried_once():
    """By a handful of numbers, in the first call; what a call costs later is one evaluation."""
    seen = []

    def term(log_p, log_q):
        seen.append(log_p.shape)
        return -log_p

    def index(*counts):
        seen.append(counts[0].shape)
        return dice(*counts)

    z, y = data("multilabel")
    for loss, option in ((core.pixel_loss, {"term": term}), (core.region_loss, {"index": index})):
        counts = []
        for _ in range(3):
            seen.clear()
            loss(z, y, mode="multilabel", **option)
            counts.append(len(seen))
        assert counts[0] > counts[1] == counts[2] == 1


def test_a_wrong_function_is_refused_each_time():
    def half(tp, fp, fn, tn):
        return tp / (tp + fp)  # 0 / 0 where nothing is predicted

    for _ in range(2):
        with pytest.raises(ValueError, match=r"index: expected a number, got nan at \(0, 0, 3, 0"):
            core.region_loss(P, Y, index=half, **PROBABILITIES)


def test_functions_may_learn():
    """A module is a function, too: its parameters are those of the loss."""

    class Power(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.gamma = torch.nn.Parameter(torch.tensor(2.0))

        def forward(self, log_p, log_q):
            return -(self.gamma * log_q).exp() * log_p

    criterion = core.PixelLoss(term=Power())
    assert [name for name, _ in criterion.named_parameters()] == ["term.gamma"]
    z, y = torch.randn(2, 5), torch.arange(10).view(2, 5) % 2
    loss = criterion(z, y)
    loss.backward()
    torch.testing.assert_close(loss, core.focal_loss(z, y))
    assert criterion.term.gamma.grad != 0


@pytest.mark.parametrize("case", [c for c in LOSSES if c.loss is core.region_loss], ids=str)
def test_counts_are_never_negative(case: Case):
    """Sums round, and a root of -1e-9 would be NaN."""
    seen = []

    def index(*counts):
        seen.append(torch.stack(counts).min().item())
        return specific_dice(*counts)

    _, y, _ = sample(case, batch=1, spatial=(64, 64))
    one_hot = F.one_hot(y, 3).movedim(-1, 1) if case.mode == "multiclass" else y
    for sure in (7.0, 9.0, 11.0, 20.0, 100.0):
        core.region_loss(sure * (2.0 * one_hot - 1).float(), y, mode=case.mode, index=index)
    assert min(seen) >= 0
