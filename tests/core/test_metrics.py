"""The hard metrics against counts of sets."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import segloss_core as core

METRICS = [core.dice_score, core.jaccard_index]


def by_sets(metric, pred, target, mask, mode, classes, per_image):
    """The metric from Python sets of pixels."""
    C = {"binary": 1, "multiclass": 3, "multilabel": 3}[mode]

    def region(x, b, c):
        if mode == "multiclass":
            return {(b, n) for n in range(x.shape[1]) if x[b, n] == c and mask[b, n]}
        x = x.view(2, C, -1)
        return {(b, n) for n in range(x.shape[2]) if x[b, c, n] and mask[b, n]}

    scores = []
    for images in [[0], [1]] if per_image else [[0, 1]]:
        if not any(mask[b].any() for b in images):
            continue
        found = []
        for c in range(C) if classes in ("present", "all") else classes:
            p = set().union(*(region(pred, b, c) for b in images))
            y = set().union(*(region(target, b, c) for b in images))
            if not y and classes == "present" and mode != "binary":
                continue
            if metric is core.dice_score:
                found.append(2 * len(p & y) / (len(p) + len(y)) if p or y else 1)
            else:
                found.append(len(p & y) / len(p | y) if p or y else 1)
        if found:
            scores.append(sum(found) / len(found))
    return sum(scores) / len(scores) if scores else 0


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("mode", ["binary", "multiclass", "multilabel"])
@given(data=st.data())
def test_equals_its_definition(metric, mode, data):
    n, high = data.draw(st.integers(1, 4)), 2 if mode == "multiclass" else 1
    shape = (2, 3, n) if mode == "multilabel" else (2, n)

    def draw(top):
        size = torch.Size(shape).numel()
        values = st.lists(st.integers(0, top), min_size=size, max_size=size)
        return torch.tensor(data.draw(values)).view(shape)

    pred, target = draw(high), draw(high)
    mask = torch.tensor(data.draw(st.lists(st.booleans(), min_size=2 * n, max_size=2 * n)))
    mask = mask.view(2, n)
    classes = data.draw(
        st.sampled_from(["present", "all", *([[2, 0]] if mode != "binary" else [])])
    )
    per_image = data.draw(st.booleans())
    options = {"num_classes": 3} if mode == "multiclass" else {}
    found = metric(
        pred, target, mode=mode, mask=mask, classes=classes, per_image=per_image, **options
    )
    expected = by_sets(metric, pred, target, mask, mode, classes, per_image)
    assert found.item() == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("metric", METRICS)
def test_shapes_without_reduction(metric):
    ids = torch.randint(3, (2, 4, 5))
    options = {"mode": "multiclass", "num_classes": 4, "reduction": "none"}
    assert metric(ids, ids, **options).shape == (4,)
    assert metric(ids, ids, per_image=True, **options).shape == (2, 4)
    assert torch.equal(metric(ids, ids, classes=[3, 0], **options), torch.ones(2))


@pytest.mark.parametrize("metric", METRICS)
def test_empty_masks(metric):
    nothing, something = torch.zeros(1, 4).long(), torch.tensor([[0, 0, 1, 0]])
    assert metric(nothing, nothing) == 1
    assert metric(something, nothing) == 0
    assert metric(nothing, something) == 0
    assert metric(nothing, nothing, mask=torch.zeros(1, 4).bool()) == 0


@pytest.mark.parametrize("metric", METRICS)
def test_what_is_predicted_under_void_pixels_does_not_matter(metric):
    target = torch.tensor([[0, 1, 2, 255]])
    for under in (0, 2, 255, -1):
        pred = torch.tensor([[0, 1, 1, under]])
        assert metric(pred, target, mode="multiclass", ignore_index=255) == pytest.approx(
            metric(pred[:, :3], target[:, :3], mode="multiclass").item()
        )


@pytest.mark.parametrize("metric", METRICS)
def test_bool_masks_and_dtypes(metric):
    pred, target = torch.rand(2, 1, 5) > 0.5, torch.rand(2, 1, 5) > 0.5
    value = metric(pred, target)
    assert value.dtype == torch.float32
    for dtype in (
        torch.uint8,
        torch.uint16,
        torch.int32,
        torch.int64,
        torch.float16,
        torch.float32,
    ):
        assert metric(pred.to(dtype), target.to(dtype)) == value
        assert metric(pred.squeeze(1), target.to(dtype)) == value
        assert metric(pred, target.squeeze(1).to(dtype)) == value
    ids = torch.randint(3, (2, 1, 5))
    same = metric(ids, ids.flip(-1), mode="multiclass")
    assert metric(ids.squeeze(1), ids.flip(-1), mode="multiclass") == same
    assert metric(ids, ids.flip(-1).squeeze(1), mode="multiclass") == same


@pytest.mark.parametrize("mode", ["binary", "multiclass", "multilabel"])
@pytest.mark.parametrize("void", [False, True])
def test_counts_of_batches_add_to_the_data_set(mode, void):
    """The same numbers as one call with all images, to the last bit, whatever the batches hold."""
    g = torch.Generator().manual_seed(0)
    shape = (7, 4, 30) if mode == "multilabel" else (7, 30)
    high = 3 if mode == "multiclass" else 2  # class 3 is nowhere
    pred, target = (torch.randint(high, shape, generator=g) for _ in range(2))
    target[:2] = 0
    options = {"mode": mode, **({"num_classes": 4} if mode == "multiclass" else {})}
    if void:
        target[torch.rand(shape, generator=g) > 0.7] = 255
        options["ignore_index"] = 255
    counts = sum(
        core.overlap_counts(pred[part], target[part], **options)
        for part in (slice(0, 2), slice(2, 3), slice(3, 7))
    )
    assert counts.dtype == torch.int64
    assert counts.shape == ((4,) if mode == "binary" else (4, 4))
    tp, fp, fn, tn = counts
    assert torch.equal(tp + fp + fn + tn, (target != 255).sum() + 0 * tp) or mode == "multilabel"
    for score, metric in (
        (core.dice_from_counts, core.dice_score),
        (core.jaccard_from_counts, core.jaccard_index),
    ):
        for classes in ("present", "all", [0]):
            for reduction in ("mean", "sum", "none"):
                more = {"classes": classes, "reduction": reduction}
                assert torch.equal(score(counts, **more), metric(pred, target, **options, **more))


@pytest.mark.parametrize("metric", METRICS)
def test_under_compile_the_number_of_classes_is_given(metric):
    ids = torch.randint(3, (2, 8))
    compiled = torch.compile(metric, fullgraph=True, backend="eager")
    options = {"mode": "multiclass", "num_classes": 3}
    torch.testing.assert_close(compiled(ids, ids, **options), metric(ids, ids, **options))


def test_dice_is_never_below_jaccard():
    pred, target = torch.rand(2, 50) > 0.5, torch.rand(2, 50) > 0.5
    dice, jaccard = core.dice_score(pred, target), core.jaccard_index(pred, target)
    assert dice >= jaccard
    torch.testing.assert_close(dice, 2 * jaccard / (1 + jaccard))
