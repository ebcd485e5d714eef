"""Wrong calls: the message names the argument, what was expected and what came."""

import pytest
import torch

import segloss_core as core

Z = torch.zeros(2, 4, 5)
Y = torch.zeros(2, 4, 5, dtype=torch.long)
ZC = torch.zeros(2, 3, 4, 5)
YC = torch.zeros(2, 3, 4, 5, dtype=torch.long)
NAN = float("nan")
VALUE, TYPE = ValueError, TypeError


def call(name, *args, **options):
    return name, args, options


MULTI = {"mode": "multiclass"}
LABEL = {"mode": "multilabel"}
CE, DICE, FOCAL = "cross_entropy_loss", "dice_loss", "focal_loss"
TVERSKY, BALANCED = "tversky_loss", "balanced_cross_entropy_loss"
WCE, DISTANCE = "weighted_cross_entropy_loss", "distance_weighted_cross_entropy_loss"
HINGE, SOFTMAX = "lovasz_hinge_loss", "lovasz_softmax_loss"

# error, the argument that the message names, what the message says came, the call
WRONG = [
    # input and target
    (TYPE, "input", "list", call(CE, [0.0], Y)),
    (TYPE, "target", "list", call(CE, Z, [0])),
    (TYPE, "input", "int64", call(CE, Y, Y)),
    (TYPE, "input", "complex64", call(DICE, Z.to(torch.complex64), Y)),
    (TYPE, "target", "complex64", call(DICE, Z, Y.to(torch.complex64))),
    (VALUE, "input", "()", call(CE, torch.zeros(()), torch.zeros(()))),
    (VALUE, "input", "(2,)", call(CE, torch.zeros(2), torch.zeros(2).long(), **MULTI)),
    (VALUE, "input", "(2, 1, 4)", call(CE, torch.zeros(2, 1, 4), Y[..., 0], **MULTI)),
    (VALUE, "target", "(2, 4, 4)", call(CE, Z, Y[..., :4])),
    (VALUE, "target", "(2, 4, 4)", call(DICE, Z, Y[..., :4])),
    (VALUE, "target", "(2, 3, 4, 5)", call(CE, ZC, YC, **MULTI)),
    (VALUE, "target", "(2, 4, 5)", call(CE, ZC, Y.float(), **MULTI)),
    (VALUE, "target", "(2, 4, 5)", call(CE, ZC, Y, **LABEL)),
    (VALUE, "target", "(2, 1, 4, 5)", call(CE, ZC, Y[:, None], **MULTI)),
    (VALUE, "target", "meta", call(CE, Z, Y.to("meta"))),
    (VALUE, "target", "3", call(CE, ZC, Y + 3, **MULTI)),
    (VALUE, "target", "-1", call(DICE, ZC, Y - 1, **MULTI)),
    (VALUE, "target", "255", call(SOFTMAX, ZC, Y + 255)),
    (VALUE, "target", "255", call(SOFTMAX, ZC, Y + 255, ignore_index=254)),
    (VALUE, "target", "2", call(CE, Z, Y + 2)),
    (VALUE, "target", "1.5", call(CE, Z, Z + 1.5)),
    (VALUE, "target", "nan", call(DICE, Z, Z * NAN)),
    (VALUE, "target", "-0.5", call(DICE, ZC, ZC - 0.5, **MULTI)),
    (VALUE, "target", "0.5", call(HINGE, Z, Z + 0.5)),
    (TYPE, "target", "float32", call(SOFTMAX, ZC, ZC)),
    (VALUE, "input", "2.0", call(CE, Z + 2, Y, from_logits=False)),
    (VALUE, "input", "-1.0", call(DICE, ZC - 1, Y, from_logits=False, **MULTI)),
    # options of all losses
    (VALUE, "mode", "'multi'", call(CE, Z, Y, mode="multi")),
    (VALUE, "mode", "'multiclass'", call(WCE, ZC, Y, beta=1.0, **MULTI)),
    (VALUE, "mode", "'multiclass'", call(BALANCED, ZC, Y, **MULTI)),
    (VALUE, "mode", "'multiclass'", call(HINGE, ZC, Y, **MULTI)),
    (VALUE, "mode", "'binary'", call(SOFTMAX, ZC, Y, mode="binary")),
    (VALUE, "reduction", "'avg'", call(CE, Z, Y, reduction="avg")),
    (VALUE, "reduction", "None", call(DICE, Z, Y, reduction=None)),
    (TYPE, "from_logits", "1", call(CE, Z, Y, from_logits=1)),
    (TYPE, "ignore_index", "'255'", call(CE, Z, Y, ignore_index="255")),
    (TYPE, "ignore_index", "1.0", call(DICE, Z, Y, ignore_index=1.0)),
    (TYPE, "ignore_index", "True", call(DICE, Z, Y, ignore_index=True)),
    (VALUE, "ignore_index", "255", call(CE, ZC, ZC, ignore_index=255, **MULTI)),
    (TYPE, "mask", "int64", call(CE, Z, Y, mask=Y)),
    (TYPE, "mask", "list", call(CE, Z, Y, mask=[True])),
    (VALUE, "mask", "(2, 4)", call(CE, Z, Y, mask=Y[..., 0] == 0)),
    (VALUE, "mask", "(2, 3, 4, 5)", call(DICE, ZC, Y, mask=YC == 0, **MULTI)),
    (VALUE, "mask", "meta", call(DICE, Z, Y, mask=(Y == 0).to("meta"))),
    # losses that are a sum over pixels
    (VALUE, "pixel_weight", "(2, 5, 4)", call(CE, Z, Y, pixel_weight=Z.transpose(1, 2))),
    (VALUE, "pixel_weight", "-1.0", call(CE, Z, Y, pixel_weight=Z - 1)),
    (TYPE, "pixel_weight", "float", call(CE, Z, Y, pixel_weight=2.0)),
    (TYPE, "weight", "list", call(CE, ZC, Y, weight=[1, 1, 1], **MULTI)),
    (VALUE, "weight", "(2,)", call(CE, ZC, Y, weight=torch.ones(2), **MULTI)),
    (VALUE, "weight", "-1.0", call(CE, ZC, Y, weight=-torch.ones(3), **MULTI)),
    (VALUE, "weight", "tensor", call(CE, Z, Y, weight=torch.ones(1))),
    (VALUE, "weight", "meta", call(CE, ZC, Y, weight=torch.ones(3, device="meta"), **MULTI)),
    (VALUE, "pos_weight", "2.0", call(CE, ZC, Y, pos_weight=2.0, **MULTI)),
    (VALUE, "pos_weight", "-2.0", call(CE, Z, Y, pos_weight=-2.0)),
    (VALUE, "pos_weight", "(2,)", call(CE, ZC, YC, pos_weight=torch.ones(2), **LABEL)),
    (VALUE, "label_smoothing", "1.5", call(CE, Z, Y, label_smoothing=1.5)),
    (TYPE, "label_smoothing", "'a'", call(CE, Z, Y, label_smoothing="a")),
    (VALUE, "beta", "-1", call(WCE, Z, Y, beta=-1)),
    (VALUE, "beta", "inf", call(WCE, Z, Y, beta=float("inf"))),
    (VALUE, "beta", "inf", call(WCE, Z, Y, beta=torch.tensor(float("inf")))),
    (VALUE, "pixel_weight", "inf", call(CE, Z, Y, pixel_weight=torch.full((2, 4, 5), torch.inf))),
    (TYPE, "beta", "None", call(WCE, Z, Y, beta=None)),
    (VALUE, "beta", "1.5", call(BALANCED, Z, Y, beta=1.5)),
    (VALUE, "beta", "nan", call(BALANCED, Z, Y, beta=NAN)),
    (VALUE, "eps", "0.7", call(BALANCED, Z, Y, eps=0.7)),
    (TYPE, "per_image", "1", call(BALANCED, Z, Y, per_image=1)),
    (VALUE, "gamma", "-0.5", call(FOCAL, Z, Y, gamma=-0.5)),
    (TYPE, "gamma", "True", call(FOCAL, Z, Y, gamma=True)),
    (VALUE, "alpha", "1.5", call(FOCAL, Z, Y, alpha=1.5)),
    (TYPE, "alpha", "float", call(FOCAL, ZC, Y, alpha=0.25, **MULTI)),
    (VALUE, "alpha", "(2,)", call(FOCAL, ZC, Y, alpha=torch.ones(2), **MULTI)),
    (VALUE, "normalizer", "'anchors'", call(FOCAL, Z, Y, normalizer="anchors")),
    # losses on overlaps
    (VALUE, "smooth", "-1", call(DICE, Z, Y, smooth=-1)),
    (TYPE, "smooth", "None", call("jaccard_loss", Z, Y, smooth=None)),
    (TYPE, "squared", "2", call(DICE, Z, Y, squared=2)),
    (TYPE, "per_image", "'yes'", call(DICE, Z, Y, per_image="yes")),
    (VALUE, "alpha", "-0.1", call(TVERSKY, Z, Y, alpha=-0.1)),
    (VALUE, "beta", "-0.1", call(TVERSKY, Z, Y, beta=-0.1)),
    (VALUE, "gamma", "-1", call(TVERSKY, Z, Y, gamma=-1)),
    (VALUE, "classes", "'some'", call(DICE, Z, Y, classes="some")),
    (VALUE, "classes", "[3]", call(DICE, ZC, Y, classes=[3], **MULTI)),
    (VALUE, "classes", "[0, 0]", call(DICE, ZC, Y, classes=[0, 0], **MULTI)),
    (VALUE, "classes", "[]", call(SOFTMAX, ZC, Y, classes=[])),
    (TYPE, "classes", "1", call(DICE, ZC, Y, classes=1, **MULTI)),
    (TYPE, "classes", "[0.5]", call(DICE, ZC, Y, classes=[0.5], **MULTI)),
    (VALUE, "weight", "(2,)", call(DICE, ZC, Y, weight=torch.ones(2), **MULTI)),
    (VALUE, "weight", "tensor", call(DICE, Z, Y, weight=torch.ones(1))),
    (VALUE, "bins", "0", call(SOFTMAX, ZC, Y, bins=0)),
    (TYPE, "bins", "1.5", call(SOFTMAX, ZC, Y, bins=1.5)),
    # distances
    (TYPE, "instances", "float32", call("two_nearest_distances", Z)),
    (TYPE, "instances", "bool", call("two_nearest_distances", Y > 0)),
    (TYPE, "instances", "list", call("unet_weight_map", [1])),
    (VALUE, "instances", "()", call("two_nearest_distances", torch.tensor(1))),
    (VALUE, "instances", "-1", call("two_nearest_distances", Y - 1)),
    (VALUE, "spacing", "[1.0]", call("two_nearest_distances", Y, spacing=[1.0])),
    (VALUE, "spacing", "0", call("two_nearest_distances", Y, spacing=[1.0, 0])),
    (VALUE, "w0", "-1", call("unet_weight_map", Y, -1)),
    (VALUE, "sigma", "0", call("unet_weight_map", Y, 1.0, 0)),
    (VALUE, "class_weight", "(3,)", call("unet_weight_map", Y, class_weight=torch.ones(3))),
    (VALUE, "instances", "(2, 4, 4)", call(DISTANCE, Z, Y, instances=Y[..., :4])),
    (VALUE, "instances", "meta", call(DISTANCE, Z, Y, instances=Y.to("meta"))),
    # metrics
    (TYPE, "pred", "float32", call("dice_score", Z, Y)),
    (TYPE, "target", "float32", call("dice_score", Y, Z)),
    (VALUE, "pred", "(2, 4, 4)", call("jaccard_index", Y[..., :4], Y)),
    (VALUE, "pred", "2", call("jaccard_index", Y + 2, Y)),
    (VALUE, "target", "5", call("dice_score", Y, Y + 5, num_classes=3, **MULTI)),
    (VALUE, "num_classes", "0", call("dice_score", Y, Y, num_classes=0, **MULTI)),
    (VALUE, "num_classes", "3", call("dice_score", Y, Y, num_classes=3)),
    (VALUE, "mode", "'x'", call("dice_score", Y, Y, mode="x")),
    # several losses
    (TYPE, "losses", "list", call("CombinedLoss", [])),
    (VALUE, "losses", "none", call("CombinedLoss", {})),
    (TYPE, "losses", "'dice'", call("CombinedLoss", {"dice": core.DiceLoss()})),
    (VALUE, "losses", "-1", call("CombinedLoss", {"dice": (-1, core.DiceLoss())})),
]


@pytest.mark.parametrize(
    ("error", "argument", "came", "wrong"),
    WRONG,
    ids=[f"{i}-{w[3][0]}-{w[1]}" for i, w in enumerate(WRONG)],
)
def test_wrong_call(error, argument, came, wrong):
    name, args, options = wrong
    with pytest.raises(error) as caught:
        getattr(core, name)(*args, **options)
    message = str(caught.value)
    assert type(caught.value) is error
    assert message.startswith(f"{argument}:")
    assert "expected" in message
    assert "got" in message
    assert came in message


def test_the_table_is_long():
    assert len(WRONG) >= 60


@pytest.mark.parametrize(
    ("module", "options"),
    [
        (core.DiceLoss, {"mask": None}),
        (core.DiceLoss, {"alpha": 1}),
        (core.CrossEntropyLoss, {"z": 1}),
    ],
)
def test_modules_refuse_what_is_no_option(module, options):
    with pytest.raises(TypeError, match=next(iter(options))):
        module(**options)


def test_modules_refuse_what_they_do_not_take_per_batch():
    with pytest.raises(TypeError, match=r"pixel_weight: expected only mask .* got pixel_weight"):
        core.DiceLoss()(Z, Y, pixel_weight=Z)
    both = core.CombinedLoss({"dice": (1, core.DiceLoss())})
    with pytest.raises(TypeError, match="instances: expected only mask"):
        both(Z, Y, instances=Y)


def test_values_are_looked_at_outside_of_transforms_only():
    """Under vmap a wrong id cannot be seen; nothing else is raised in its place."""
    with pytest.raises(ValueError, match="target: expected class ids in"):
        core.dice_loss(ZC, Y + 3, mode="multiclass")
    ok = torch.func.vmap(lambda z, y: core.dice_loss(z[None], y[None], mode="multiclass"))(ZC, Y)
    assert ok.shape == (2,)
