"""Signed distances, the losses by them, and surface measures: against brute force and by hand."""

from functools import partial

import pytest
import reference
import torch
from hypothesis import given
from hypothesis import strategies as st
from test_distance import elements

import segloss_core as core
from segloss_core.fast import sides

SQUARE = torch.zeros(1, 5, 5, dtype=torch.long)
SQUARE[:, 1:4, 1:4] = 1
SPACINGS = [None, [2.0, 0.5, 1.0], [0.3, 1.0, 5.0]]
CONVENTIONS = ["edge", "centre", "kervadec"]


KERNELS = {
    "kernel": {},
    "small tiles": {"SWEEP": 24, "STRIP": 2, "NARROW": 3, "FEW": 100},
    "32 bits": {"SHORT": 3, "FEW": 100},
    "few lines": {"FEW": 1},
}


@pytest.fixture(params=[*KERNELS, "formula"])
def transform(request, monkeypatch):
    for name, value in KERNELS.get(request.param, {}).items():
        monkeypatch.setattr(sides, name, value)
    if request.param == "formula":
        monkeypatch.setattr("segloss_core.geometry.on_cpu", lambda x: False)
        monkeypatch.setattr("segloss_core.geometry.TILE", 100)


def random_masks(shape, share, seed):
    g = torch.Generator().manual_seed(seed)
    return torch.rand(shape, generator=g) < share, torch.rand(shape, generator=g) < 0.8


@pytest.mark.parametrize("spacing", SPACINGS, ids=str)
@pytest.mark.parametrize("convention", CONVENTIONS)
@pytest.mark.parametrize("shape", [(3, 9, 12), (2, 5, 6, 7), (2, 40)], ids=str)
def test_signed_distances_equal_brute_force(transform, spacing, convention, shape):
    spacing = spacing and spacing[: len(shape) - 1]
    for seed, share in enumerate((0.5, 0.05, 0.95, 0.0, 1.0)):
        inside, valid = random_masks(shape, share, seed)
        options = {"spacing": spacing, "convention": convention}
        for keep in (None, valid):
            found = core.signed_distance(inside, mask=keep, **options)
            assert found.dtype == torch.float32
            keep = torch.ones_like(inside) if keep is None else keep
            expected = [
                reference.signed_distance(x & k, k, **options)
                for x, k in zip(inside, keep, strict=True)
            ]
            torch.testing.assert_close(found.double(), torch.stack(expected), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("size", [150, 600])
def test_far_distances(size):
    """Of a disc and of one pixel, where the nearest edge is many tiles away."""
    y, x = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
    disc = ((y - 0.4 * size) ** 2 + (x - 0.6 * size) ** 2 < (size / 5) ** 2)[None]
    pixel = ((y == size - 3) & (x == 7))[None]
    at = torch.stack([y, x], -1).double()
    to_pixel = (at - torch.tensor([size - 3.0, 7.0])).norm(dim=-1)
    found = core.signed_distance(pixel, convention="centre")[0].double()
    torch.testing.assert_close(found, torch.where(pixel[0], -1, to_pixel), rtol=1e-6, atol=0)
    ring = core.signed_distance(disc, convention="centre")[0].double()
    places = disc[0].nonzero().double()
    some = at.flatten(0, 1)[:: size * size // 200]
    expected = torch.cdist(some, places).amin(1)
    torch.testing.assert_close(
        ring.flatten()[:: size * size // 200].clamp(min=0), expected, rtol=1e-6, atol=1e-6
    )


def test_all_classes_in_one_call():
    ids = torch.randint(3, (2, 6, 7), generator=torch.Generator().manual_seed(0))
    every = core.signed_distance(ids, mode="multiclass", num_classes=4)
    assert every.shape == (2, 4, 6, 7)
    assert every[:, 3].isposinf().all()
    for c in range(3):
        assert torch.equal(every[:, c], core.signed_distance(ids == c))
    one_hot = torch.nn.functional.one_hot(ids, 4).movedim(-1, 1)
    assert torch.equal(core.signed_distance(one_hot, mode="multilabel"), every)
    with_channel = core.signed_distance(ids.unsqueeze(1), mode="multiclass")
    assert torch.equal(with_channel, every[:, :3])
    binary = core.signed_distance(one_hot[:, :1], spacing=[1, 2])
    assert torch.equal(binary[:, 0], core.signed_distance(one_hot[:, 0], spacing=[1, 2]))


def test_no_other_side_is_infinitely_far():
    empty = torch.zeros(1, 3, 4)
    assert core.signed_distance(empty).isposinf().all()
    assert core.signed_distance(empty + 1).isneginf().all()
    assert core.signed_distance(empty[..., :0]).shape == (1, 3, 0)


def test_void_pixels_are_on_no_side():
    target = torch.tensor([[1, 255, 255, 0, 1]])
    found = core.signed_distance(target, ignore_index=255)
    assert torch.equal(found, torch.tensor([[-2.5, 0, 0, 0.5, -0.5]]))


def test_a_square_of_3_by_3_in_5_by_5():
    """Corners, sides, ring and centre; mean(phi y) = -0.22, and -0.04 as Kervadec has it."""
    phi = core.signed_distance(SQUARE)[0]
    assert phi[0, 0] == pytest.approx(0.5**0.5)
    assert phi[0, 2] == 0.5
    assert phi[1, 2] == phi[1, 1] == -0.5
    assert phi[2, 2] == -1.5
    loss = partial(core.boundary_loss, SQUARE.float(), SQUARE, from_logits=False)
    assert loss().item() == pytest.approx(-0.22)
    assert loss(convention="kervadec").item() == pytest.approx(-0.04)
    phi = core.signed_distance(SQUARE, spacing=[2, 0.5])[0]
    assert phi[0, 0] == pytest.approx(1.0308, abs=1e-4)
    assert phi[0, 2] == 1
    assert phi[1, 1] == phi[2, 1] == -0.25
    assert phi[1, 2] == phi[2, 2] == -0.75


@pytest.mark.parametrize("k", [1, 2, 3])
def test_moving_an_end_by_k_pixels_costs_half_of_k_squared(k):
    """Growing and shrinking; with Kervadec's distances k (k + 1) / 2 and k (k - 1) / 2."""
    y = torch.zeros(1, 40)
    y[:, 10:30] = 1
    grown, shrunk = y.clone(), y.clone()
    grown[:, 30 : 30 + k], shrunk[:, 30 - k : 30] = 1, 0

    def cost(p, **options):
        loss = partial(core.boundary_loss, target=y, from_logits=False, **options)
        return 40 * (loss(p) - loss(y)).item()

    assert cost(grown) == pytest.approx(k * k / 2, abs=1e-5)
    assert cost(shrunk) == pytest.approx(k * k / 2, abs=1e-5)
    assert cost(grown, convention="kervadec") == pytest.approx(k * (k + 1) / 2, abs=1e-5)
    assert cost(shrunk, convention="kervadec") == pytest.approx(k * (k - 1) / 2, abs=1e-5)


@pytest.mark.parametrize(("shift", "expected"), [(0, 0), (1, 2 / 3), (2, 17 / 6)])
def test_hausdorff_loss_of_a_bar_that_moves(shift, expected):
    y = torch.tensor([[0, 0, 1, 1, 0, 0]])
    loss = core.hausdorff_loss(y.roll(shift, 1).float(), y, from_logits=False)
    assert loss.item() == pytest.approx(expected)


@pytest.mark.parametrize("mode", ["binary", "multiclass", "multilabel"])
def test_distances_from_the_loader_give_the_same_loss(mode):
    g = torch.Generator().manual_seed(0)
    z = torch.randn((2, 6, 7) if mode == "binary" else (2, 3, 6, 7), generator=g)
    y = torch.randint(3, (2, 6, 7), generator=g) if mode == "multiclass" else (z > 0.3).long()
    options = {"mode": mode, "spacing": [2, 0.5]}
    for loss, convention in ((core.BoundaryLoss, "edge"), (core.HausdorffLoss, "centre")):
        phi = core.signed_distance(y, convention=convention, **options)
        criterion = loss(**options)
        torch.testing.assert_close(criterion(z, y, distance=phi), criterion(z, y))
        assert criterion(z, y, distance=2 * phi) != criterion(z, y)
    both = core.CombinedLoss(
        {"a": (1, core.DiceLoss(mode=mode)), "b": (1, core.BoundaryLoss(**options))}
    )
    phi = core.signed_distance(y, **options)
    torch.testing.assert_close(both(z, y, distance=phi), both(z, y))


def test_a_class_that_fills_an_image():
    p = torch.tensor([[0.2, 0.4, 0.9]])
    one = torch.ones(1, 3)
    assert core.boundary_loss(p, one, from_logits=False).item() == pytest.approx(-0.5)
    assert core.hausdorff_loss(p, one, from_logits=False).item() == pytest.approx(0.5)


def contents(size):
    g = torch.Generator().manual_seed(0)
    empty = torch.zeros(1, size, size, dtype=torch.bool)
    pixel = empty.clone()
    pixel[0, size // 3, size // 5] = True
    return torch.rand(1, size, size, generator=g) > 0.5, empty, ~empty, pixel


def test_cost_without_kernels_does_not_depend_on_the_content(monkeypatch):
    monkeypatch.setattr("segloss_core.geometry.on_cpu", lambda x: False)
    costs = {elements(partial(core.signed_distance, x)) for x in contents(64)}
    assert len(costs) == 1


def test_cost_of_the_kernel_has_a_bound_whatever_the_content():
    """In elements read, of 1024 by 1024 pixels."""
    noise, *others = (elements(partial(core.signed_distance, x)) for x in contents(1024))
    assert max(others) <= 8 * noise


def test_transforms():
    """In one graph, for all sizes and for each image: no value decides what is done."""
    masks = torch.rand(3, 6, 7, generator=torch.Generator().manual_seed(0)) > 0.6
    expected = core.signed_distance(masks, spacing=[1, 2])
    for dynamic in (False, True):
        torch.compiler.reset()
        f = partial(core.signed_distance, spacing=[1, 2])
        compiled = torch.compile(f, fullgraph=True, dynamic=dynamic, backend="aot_eager")
        torch.testing.assert_close(compiled(masks), expected)
    found = torch.func.vmap(lambda x: core.signed_distance(x[None], spacing=[1, 2])[0])(masks)
    torch.testing.assert_close(found, expected)


# ---- measures ----


def surface(x):
    """The pixels (*) of a mask with a neighbour along an axis that is not in it."""
    found = set()
    inside = {tuple(i) for i in x.nonzero().tolist()}
    for i in inside:
        for axis in range(len(i)):
            for step in (-1, 1):
                if (*i[:axis], i[axis] + step, *i[axis + 1 :]) not in inside:
                    found.add(i)
    return torch.tensor(sorted(found), dtype=torch.float64).reshape(-1, x.ndim)


def by_hand(pred, target, size):
    """The measures of one image by its surfaces, and None where both are empty."""
    a, b = (surface(x) * size for x in (pred, target))
    if not len(a) and not len(b):
        return None
    if not len(a) or not len(b):
        return {"hd": torch.inf, "hd95": torch.inf, "assd": torch.inf, "dice": 0, "iou": 0}
    gaps = torch.cdist(a, b)
    there, back = gaps.amin(1), gaps.amin(0)
    every = torch.cat([there, back])

    def band(x):
        framed = torch.nn.functional.pad(x, [1, 1] * x.ndim)
        depth = reference.to_nearest(~framed, size.tolist(), 0.5)
        return framed & (depth <= 1.6)

    one, other = band(pred), band(target)
    union = (one | other).sum().item()
    return {
        "hd": every.max().item(),
        "hd95": max(there.quantile(0.95).item(), back.quantile(0.95).item()),
        "assd": every.mean().item(),
        "dice": (every <= 1.2 * (1 + 1e-6)).double().mean().item(),
        "iou": (one & other).sum().item() / union if union else 1,
    }


def measures(pred, target, **options):
    return {
        "hd": core.hausdorff_distance(pred, target, **options),
        "hd95": core.hausdorff_distance(pred, target, percentile=95, **options),
        "assd": core.average_surface_distance(pred, target, **options),
        "dice": core.surface_dice(pred, target, tolerance=1.2, **options),
        "iou": core.boundary_iou(pred, target, width=1.6, **options),
    }


@pytest.mark.parametrize("shape", [(6, 8), (3, 4, 5), (9,)], ids=str)
@pytest.mark.parametrize("spacing", SPACINGS, ids=str)
@given(seed=st.integers(0, 2**16), shares=st.tuples(*[st.sampled_from([0, 0.1, 0.6, 1])] * 2))
def test_measures_equal_their_definitions(shape, spacing, seed, shares):
    spacing = spacing and spacing[: len(shape)]
    g = torch.Generator().manual_seed(seed)
    pred, target = (torch.rand(2, *shape, generator=g) < share for share in shares)
    valid = torch.rand(2, *shape, generator=g) < 0.9
    size = torch.tensor(spacing or [1.0] * len(shape), dtype=torch.float64)
    each = [by_hand(p & v, y & v, size) for p, y, v in zip(pred, target, valid, strict=True)]
    counted = [x for x in each if x is not None]
    for name, found in measures(pred, target, spacing=spacing, mask=valid).items():
        mean = sum(x[name] for x in counted) / len(counted) if counted else 0
        assert found.dtype == torch.float32
        assert found.item() == pytest.approx(mean, rel=1e-5), name


def test_measures_count_classes_as_dice_does():
    """ "present" leaves out a class without a target pixel, "all" does not."""
    target = torch.tensor([[0, 0, 1, 1], [0, 0, 0, 0]])
    pred = torch.tensor([[0, 0, 0, 1], [0, 2, 0, 0]])
    options = {"mode": "multiclass", "num_classes": 4, "reduction": "none"}
    for name, found in measures(pred, target, **options).items():
        far = torch.inf if "d" in name and name != "dice" else 0
        same = 0 if far else 1
        assert found.shape == (2, 4)
        assert found[1, 2] == far
        assert found[0, 3] == same
        assert not found.isnan().any()
    distance = partial(core.hausdorff_distance, pred, target, mode="multiclass", num_classes=4)
    assert distance() == (1 + 1) / 4 + 1 / 2  # of the first image 1 and 1, of the second 1
    assert distance(classes="all").isinf()
    assert distance(classes=[3]) == 0


def test_measures_of_equal_masks():
    target = torch.rand(2, 20, 20, generator=torch.Generator().manual_seed(0)) > 0.5
    found = measures(target, target)
    assert [found[name] for name in ("hd", "hd95", "assd", "dice", "iou")] == [0, 0, 0, 1, 1]


def test_what_is_predicted_under_void_pixels_does_not_matter():
    target = torch.tensor([[0, 1, 1, 255, 255, 1, 0, 0]])
    first = torch.tensor([[0, 1, 0, 0, 0, 1, 1, 0]])
    second = torch.tensor([[0, 1, 0, 1, 1, 1, 1, 0]])
    assert measures(first, target, ignore_index=255) == measures(second, target, ignore_index=255)


def test_measures_under_compile():
    masks = torch.rand(2, 2, 6, 7, generator=torch.Generator().manual_seed(0)) > 0.5
    compiled = torch.compile(measures, fullgraph=True, backend="eager")
    for name, found in compiled(*masks).items():
        torch.testing.assert_close(found, measures(*masks)[name])
