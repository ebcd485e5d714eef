"""Wrong calls: the message names the argument, what was expected, what came, and what mends it."""

import os
import subprocess
import sys
import warnings
from contextlib import suppress

import numpy as np
import pytest
import torch
from cases import TWINS

import segloss_core as core
from segloss_core import checks

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
PIXEL, REGION, GENERALIZED = "pixel_loss", "region_loss", "generalized_dice_loss"
HALVES = {"from_logits": False}


# Functions of a caller that cannot be losses or scores.


def number(*x):
    return 1.0


def total(*x):
    return x[0].sum()


def root(log_p, log_q):
    return log_p.sqrt()


def cut(*x):
    return x[0].detach()


def flat(*x):
    return x[0].round()


def specificity(tp, fp, fn, tn):
    return tn / (tn + fp)


def ratio_to_itself(score):
    return score / score


def dice(tp, fp, fn, tn):
    return 2 * tp / (2 * tp + fp + fn)


with warnings.catch_warnings():  # torch itself is about to drop them
    warnings.simplefilter("ignore")
    QUANTIZED = torch.quantize_per_tensor(Z, 0.1, 0, torch.quint8)
    NESTED = torch.nested.nested_tensor([Z, Z])


class DTensor(torch.Tensor):
    """Stands for torch's, which takes a process group to make."""


DISTRIBUTED = Z.as_subclass(DTensor)

# error, the argument that the message names, what the message says came and what it says to do,
# the call
WRONG = [
    # input and target
    (TYPE, "input", "list", call(CE, [0.0], Y)),
    (TYPE, "input", ("dict", "output['out']"), call(CE, {"out": Z}, Y)),
    (TYPE, "input", ("tuple", "output[0]"), call(CE, (Z, Z), Y)),
    (TYPE, "input", ("ndarray", "torch.from_numpy"), call(DICE, Z.numpy(), Y)),
    (TYPE, "input", ("NoneType",), call(DICE, None, Y)),
    (TYPE, "input", ("torch.sparse_coo", ".to_dense()"), call(CE, Z.to_sparse(), Y)),
    (TYPE, "input", ("float8", ".float()"), call(CE, Z.to(torch.float8_e5m2), Y)),
    (TYPE, "input", ("nested", "mask"), call(DICE, NESTED, Y)),
    (TYPE, "input", ("quint8", ".dequantize()"), call(CE, QUANTIZED, Y)),
    (TYPE, "input", ("DTensor", "process_group", ".full_tensor()"), call(DICE, DISTRIBUTED, Y)),
    (TYPE, "target", "list", call(CE, Z, [0])),
    (TYPE, "input", ("int64", "not the classes predicted"), call(CE, Y, Y)),
    (TYPE, "input", "complex64", call(DICE, Z.to(torch.complex64), Y)),
    (TYPE, "target", "complex64", call(DICE, Z, Y.to(torch.complex64))),
    (VALUE, "input", "()", call(CE, torch.zeros(()), torch.zeros(()))),
    (VALUE, "input", "(2,)", call(CE, torch.zeros(2), torch.zeros(2).long(), **MULTI)),
    (
        VALUE,
        "input",
        ("(2, 1, 4)", "mode='binary'"),
        call(CE, torch.zeros(2, 1, 4), Y[..., 0], **MULTI),
    ),
    (VALUE, "target", ("(2, 4, 4)", "interpolate"), call(CE, Z, Y[..., :4])),
    (VALUE, "target", ("(2, 4, 4)", "interpolate"), call(DICE, Z, Y[..., :4])),
    (VALUE, "target", ("(2, 8, 9)", "interpolate"), call(DICE, ZC, torch.ones(2, 8, 9), **MULTI)),
    (VALUE, "target", ("(2, 3, 4, 5)", "argmax(1)", ".float()"), call(CE, ZC, YC, **MULTI)),
    (VALUE, "target", ("argmax(-1)",), call(CE, ZC, YC.movedim(1, -1), **MULTI)),
    (VALUE, "target", ("(2, 4, 5)", "target.long()"), call(CE, ZC, Y.float(), **MULTI)),
    (VALUE, "target", ("target.long()",), call(CE, ZC, Y[:, None].float(), **MULTI)),
    (VALUE, "target", ("(2, 4, 5)", "mode='multiclass'"), call(CE, ZC, Y, **LABEL)),
    (VALUE, "target", ("(2, 4, 5)", "mode='multiclass'"), call(DICE, ZC, Y)),
    (VALUE, "target", ("(2, 4, 5)", "mode='multiclass'"), call(CE, ZC[:, :2], Y)),
    (VALUE, "target", ("mode='multiclass'",), call(FOCAL, ZC[:, :2], Y[:, None])),
    (VALUE, "target", ("(4, 5)", "unsqueeze(0)"), call(CE, ZC[0], Y[0], **MULTI)),
    (VALUE, "target", ("movedim(-1, 1)",), call(CE, ZC.movedim(1, -1), Y, **MULTI)),
    (VALUE, "target", ("meta", "target.to('cpu')"), call(CE, Z, Y.to("meta"))),
    (VALUE, "target", "3", call(CE, ZC, Y + 3, **MULTI)),
    (VALUE, "target", ("-1", "ignore_index=-1"), call(DICE, ZC, Y - 1, **MULTI)),
    (VALUE, "target", ("255", "ignore_index=255"), call(SOFTMAX, ZC, Y + 255)),
    (VALUE, "target", "255", call(SOFTMAX, ZC, Y + 255, ignore_index=254)),
    (VALUE, "target", ("255", "target == 255", "ignore_index=255"), call(CE, Z, 255 * (Y + 1))),
    (VALUE, "target", ("a sum of 0", "mask=target.sum(1) > 0"), call(CE, ZC, ZC, **MULTI)),
    (VALUE, "target", "a sum of 0", call(DICE, ZC, ZC, **MULTI)),
    (VALUE, "target", "2", call(CE, Z, Y + 2)),
    (VALUE, "target", "1.5", call(CE, Z, Z + 1.5)),
    (VALUE, "target", "nan", call(DICE, Z, Z * NAN)),
    (VALUE, "target", "-0.5", call(DICE, ZC, ZC - 0.5, **MULTI)),
    (VALUE, "target", "0.5", call(HINGE, Z, Z + 0.5)),
    (TYPE, "target", ("float32", "argmax(1)"), call(SOFTMAX, ZC, ZC)),
    (VALUE, "input", ("2.0", "[0, 1],", "from_logits=True"), call(CE, Z + 2, Y, **HALVES)),
    (VALUE, "input", ("-1.0", "[0, 1],"), call(DICE, ZC - 1, Y, **HALVES, **MULTI)),
    # options of all losses
    (VALUE, "mode", "'multi'", call(CE, Z, Y, mode="multi")),
    (VALUE, "mode", "array", call(CE, Z, Y, mode=np.array(["binary", "binary"]))),
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
    (
        TYPE,
        "ignore_index",
        ("[254, 255]", "mask=~torch.isin"),
        call(CE, Z, Y, ignore_index=[254, 255]),
    ),
    (VALUE, "ignore_index", "1180591620717411303424", call(CE, Z, Y, ignore_index=2**70)),
    (VALUE, "ignore_index", ("255", "mask"), call(CE, ZC, ZC, ignore_index=255, **MULTI)),
    (TYPE, "mask", ("int64", "mask > 0"), call(CE, Z, Y, mask=Y)),
    (TYPE, "mask", "list", call(CE, Z, Y, mask=[True])),
    (VALUE, "mask", "(2, 4)", call(CE, Z, Y, mask=Y[..., 0] == 0)),
    (VALUE, "mask", "(2, 3, 4, 5)", call(DICE, ZC, Y, mask=YC == 0, **MULTI)),
    (VALUE, "mask", "meta", call(DICE, Z, Y, mask=(Y == 0).to("meta"))),
    # losses that are a sum over pixels
    (VALUE, "pixel_weight", "(2, 5, 4)", call(CE, Z, Y, pixel_weight=Z.transpose(1, 2))),
    (VALUE, "pixel_weight", "-1.0", call(CE, Z, Y, pixel_weight=Z - 1)),
    (TYPE, "pixel_weight", "float", call(CE, Z, Y, pixel_weight=2.0)),
    (TYPE, "pixel_weight", "complex64", call(CE, Z, Y, pixel_weight=Z.to(torch.complex64))),
    (TYPE, "weight", "str", call(CE, ZC, Y, weight="111", **MULTI)),
    (VALUE, "weight", "(2,)", call(CE, ZC, Y, weight=[1, 1], **MULTI)),
    (VALUE, "weight", "(2,)", call(CE, ZC, Y, weight=torch.ones(2), **MULTI)),
    (VALUE, "weight", "-1.0", call(CE, ZC, Y, weight=-torch.ones(3), **MULTI)),
    (VALUE, "weight", ("tensor", "pos_weight"), call(CE, Z, Y, weight=torch.ones(1))),
    (VALUE, "weight", "meta", call(CE, ZC, Y, weight=torch.ones(3, device="meta"), **MULTI)),
    (VALUE, "pos_weight", ("2.0", "weight has"), call(CE, ZC, Y, pos_weight=2.0, **MULTI)),
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
    (TYPE, "alpha", ("float", "3 numbers"), call(FOCAL, ZC, Y, alpha=0.25, **MULTI)),
    (VALUE, "alpha", "(2,)", call(FOCAL, ZC, Y, alpha=torch.ones(2), **MULTI)),
    (VALUE, "normalizer", "'anchors'", call(FOCAL, Z, Y, normalizer="anchors")),
    (VALUE, "top_k", "0", call(CE, Z, Y, top_k=0)),
    (VALUE, "top_k", "1.5", call(FOCAL, Z, Y, top_k=1.5)),
    (VALUE, "top_k", "-0.1", call(WCE, Z, Y, beta=1.0, top_k=-0.1)),
    (TYPE, "top_k", "'10%'", call(BALANCED, Z, Y, top_k="10%")),
    (VALUE, "top_k", "nan", call(FOCAL, Z, Y, top_k=NAN)),
    (TYPE, "term", "'focal'", call(PIXEL, Z, Y, term="focal")),
    (TYPE, "term", ("a function that returns a tensor", "float"), call(PIXEL, Z, Y, term=number)),
    (VALUE, "term", ("()", "without sums"), call(PIXEL, Z, Y, term=total)),
    (VALUE, "term", ("nan at (", "clamp"), call(PIXEL, ZC, Y, term=root, **MULTI)),
    (VALUE, "term", ("a gradient", "none", ".detach()"), call(PIXEL, Z, Y, term=cut)),
    (VALUE, "term", ("a gradient", "none"), call(PIXEL, ZC, YC, term=flat, **LABEL)),
    # losses on overlaps
    (TYPE, "index", "None", call(REGION, Z, Y, index=None)),
    (
        TYPE,
        "index",
        ("a function that returns a tensor", "float"),
        call(REGION, Z, Y, index=number),
    ),
    (VALUE, "index", ("()", "without sums"), call(REGION, ZC, Y, index=total, **MULTI)),
    (VALUE, "index", ("nan at (0, 0, 3, 0)", "clamp"), call(REGION, Z, Y, index=specificity)),
    (VALUE, "index", ("a gradient", "none"), call(REGION, Z, Y, index=cut)),
    (TYPE, "transform", "3", call(DICE, Z, Y, transform=3)),
    (VALUE, "transform", ("'exp'", "'log_cosh'"), call(TVERSKY, Z, Y, transform="exp")),
    (VALUE, "transform", ("nan at (0)",), call(DICE, Z, Y, transform=ratio_to_itself)),
    (VALUE, "transform", ("a gradient", "none"), call(REGION, Z, Y, index=dice, transform=flat)),
    (VALUE, "gamma", ("2", "transform"), call(TVERSKY, Z, Y, gamma=2, transform="log")),
    (
        VALUE,
        "weight",
        ("'square'", "'inverse'"),
        call(GENERALIZED, ZC, Y, weight="square", **MULTI),
    ),
    (VALUE, "weight", "(2,)", call(GENERALIZED, ZC, Y, weight=[1, 1], **MULTI)),
    (VALUE, "weight", "pos_weight", call(GENERALIZED, Z, Y, weight=[1.0])),
    (VALUE, "classes", "[0, 0]", call(GENERALIZED, ZC, Y, classes=[0, 0], **MULTI)),
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
    (TYPE, "classes", "0.5", call(DICE, ZC, Y, classes=[0.5], **MULTI)),
    (VALUE, "weight", "(2,)", call(DICE, ZC, Y, weight=torch.ones(2), **MULTI)),
    (VALUE, "weight", "tensor", call(DICE, Z, Y, weight=torch.ones(1))),
    (TYPE, "process_group", ("0", "WORLD"), call(DICE, Z, Y, process_group=0)),
    (TYPE, "process_group", "'nccl'", call(HINGE, Z, Y, process_group="nccl")),
    (VALUE, "bins", "0", call(SOFTMAX, ZC, Y, bins=0)),
    (TYPE, "bins", "1.5", call(SOFTMAX, ZC, Y, bins=1.5)),
    # distances
    (TYPE, "instances", ("float32", "label"), call("two_nearest_distances", Z)),
    (TYPE, "instances", "bool", call("two_nearest_distances", Y > 0)),
    (TYPE, "instances", "list", call("unet_weight_map", [1])),
    (VALUE, "instances", "()", call("two_nearest_distances", torch.tensor(1))),
    (VALUE, "instances", "-1", call("two_nearest_distances", Y - 1)),
    (VALUE, "spacing", "[1.0]", call("two_nearest_distances", Y, spacing=[1.0])),
    (TYPE, "spacing", "2.0", call("two_nearest_distances", Y, spacing=2.0)),
    (VALUE, "spacing", "0", call("two_nearest_distances", Y, spacing=[1.0, 0])),
    (VALUE, "w0", "-1", call("unet_weight_map", Y, -1)),
    (VALUE, "sigma", "0", call("unet_weight_map", Y, 1.0, 0)),
    (VALUE, "sigma", "1e+200", call("unet_weight_map", Y, 1.0, 1e200)),
    (VALUE, "class_weight", "(3,)", call("unet_weight_map", Y, class_weight=torch.ones(3))),
    (VALUE, "instances", "(2, 4, 4)", call(DISTANCE, Z, Y, instances=Y[..., :4])),
    (VALUE, "instances", "meta", call(DISTANCE, Z, Y, instances=Y.to("meta"))),
    # distances to edges
    (VALUE, "convention", "'x'", call("signed_distance", Y, convention="x")),
    (VALUE, "convention", "'middle'", call("boundary_loss", Z, Y, convention="middle")),
    (TYPE, "target", ("float32", "argmax(1)"), call("signed_distance", ZC, **MULTI)),
    (VALUE, "target", ("between", "0.5"), call("signed_distance", Z + 0.5)),
    (VALUE, "num_classes", "3", call("signed_distance", Y, num_classes=3)),
    (VALUE, "spacing", "[1.0]", call("signed_distance", Y, spacing=[1.0])),
    (VALUE, "spacing", "[1.0]", call("hausdorff_loss", Z, Y, spacing=[1.0])),
    (VALUE, "exponent", "0", call("hausdorff_loss", Z, Y, exponent=0)),
    (TYPE, "distance", ("int64", "signed_distance"), call("boundary_loss", Z, Y, distance=Y)),
    (VALUE, "distance", "(2, 4, 5)", call("boundary_loss", ZC, Y, distance=Z, **MULTI)),
    (VALUE, "percentile", "101", call("hausdorff_distance", Y, Y, percentile=101)),
    (VALUE, "tolerance", "-1", call("surface_dice", Y, Y, tolerance=-1)),
    (VALUE, "width", "0", call("boundary_iou", Y, Y, width=0)),
    # metrics
    (VALUE, "pred", ("between", "pred > 0 of logits"), call("dice_score", Z + 0.5, Y)),
    (VALUE, "pred", "-3.0", call("dice_score", Z - 3, Y)),
    (TYPE, "pred", ("float32", "argmax(1)"), call("jaccard_index", ZC, Y, **MULTI)),
    (VALUE, "target", ("255", "target == 255"), call("dice_score", Y, Y + 255)),
    (VALUE, "pred", "(2, 4, 4)", call("jaccard_index", Y[..., :4], Y)),
    (VALUE, "pred", "2", call("jaccard_index", Y + 2, Y)),
    (VALUE, "target", "5", call("dice_score", Y, Y + 5, num_classes=3, **MULTI)),
    (VALUE, "num_classes", "0", call("dice_score", Y, Y, num_classes=0, **MULTI)),
    (VALUE, "num_classes", "3", call("dice_score", Y, Y, num_classes=3)),
    (VALUE, "mode", "'x'", call("dice_score", Y, Y, mode="x")),
    (TYPE, "num_classes", "None", call("overlap_counts", Y, Y, **MULTI)),
    (VALUE, "counts", ("(3,)", "overlap_counts"), call("dice_from_counts", torch.ones(3))),
    (VALUE, "counts", "(5, 4)", call("jaccard_from_counts", torch.ones(5, 4))),
    # several losses
    (TYPE, "losses", ("list", "'dice': (0.5, DiceLoss())"), call("CombinedLoss", [])),
    (VALUE, "losses", "none", call("CombinedLoss", {})),
    (TYPE, "losses", "'dice'", call("CombinedLoss", {"dice": core.DiceLoss()})),
    (VALUE, "losses", "-1", call("CombinedLoss", {"dice": (-1, core.DiceLoss())})),
    (VALUE, "losses", "'a.b'", call("CombinedLoss", {"a.b": (1, core.DiceLoss())})),
    (VALUE, "losses", ("'type'", "ce_loss"), call("CombinedLoss", {"type": (1, core.DiceLoss())})),
    (VALUE, "losses", "'half'", call("CombinedLoss", {"half": (1, core.DiceLoss())})),
    (VALUE, "losses", "1", call("CombinedLoss", {1: (1, core.DiceLoss())})),
]


def check(caught, error, argument, words):
    message = str(caught.value)
    assert type(caught.value) is error
    assert message.startswith(f"{argument}:")
    for word in ("expected", "got", *([words] if isinstance(words, str) else words)):
        assert word in message


@pytest.mark.parametrize(
    ("error", "argument", "words", "wrong"),
    WRONG,
    ids=[f"{i}-{w[3][0]}-{w[1]}" for i, w in enumerate(WRONG)],
)
def test_wrong_call(error, argument, words, wrong):
    name, args, options = wrong
    with pytest.raises(error) as caught:
        getattr(core, name)(*args, **options)
    check(caught, error, argument, words)


def test_the_table_is_long():
    assert len(WRONG) >= 120


# What the constructor cannot know: tensors of the call, the number of classes, a soft target.
OF_A_CALL = ("input", "target", "mask", "pixel_weight", "instances", "distance")
UNKNOWN = ("(2,)", "(3,)", "[3]", "meta", "[1.0]", ("255", "mask"))
OPTIONS = [
    (error, argument, words, TWINS[getattr(core, name)], options)
    for error, argument, words, (name, _, options) in WRONG
    if name.endswith("_loss") and argument not in OF_A_CALL and words not in UNKNOWN
]


@pytest.mark.parametrize(
    ("error", "argument", "words", "module", "options"),
    OPTIONS,
    ids=[f"{i}-{o[3].__name__}-{o[1]}" for i, o in enumerate(OPTIONS)],
)
def test_a_wrong_option_is_refused_where_the_module_is_made(
    error, argument, words, module, options
):
    if isinstance(words, tuple) and "3 numbers" in words:
        words = words[0]  # of how many classes nobody knows yet
    with pytest.raises(error) as caught:
        module(**options)
    check(caught, error, argument, words)


@pytest.mark.parametrize(
    ("module", "args", "options", "words"),
    [
        (core.DiceLoss, (), {"mask": None}, ("mask", "in the call of DiceLoss")),
        (core.DiceLoss, (), {"alpha": 1}, ("alpha", "DiceLoss", "squared, smooth")),
        (core.TverskyLoss, (), {"log_loss": True}, ("log_loss", "TverskyLoss", "from_logits")),
        (core.FocalLoss, (), {"gama": 1}, ("gama", "FocalLoss", "gamma?")),
        (core.DiceLoss, ("multiclass",), {}, ("DiceLoss", "'multiclass'", "mode=")),
        (core.WeightedCrossEntropyLoss, (), {}, ("beta", "WeightedCrossEntropyLoss")),
    ],
)
def test_modules_refuse_what_is_no_option(module, args, options, words):
    with pytest.raises(TypeError) as caught:
        module(*args, **options)
    for word in ("expected", "got", *words):
        assert word in str(caught.value)


def test_modules_refuse_what_they_do_not_take_per_batch():
    with pytest.raises(TypeError, match=r"pixel_weight: expected only mask .* got pixel_weight"):
        core.DiceLoss()(Z, Y, pixel_weight=Z)
    both = core.CombinedLoss({"dice": (1, core.DiceLoss())})
    with pytest.raises(TypeError, match="instances: expected only mask"):
        both(Z, Y, instances=Y)
    for output in ({"out": Z}, (Z, Z), [Z], Z.numpy(), None):
        with pytest.raises(TypeError, match="input: expected a tensor, got"):
            both(output, Y)
    different = core.CombinedLoss(
        {
            "ce": (1, core.CrossEntropyLoss(reduction="none")),
            "dice": (1, core.DiceLoss(reduction="none")),
        }
    )
    with pytest.raises(ValueError, match=r"losses: expected terms of one shape, got .*\(2, 4, 5\)"):
        different(Z, Y)


def test_values_are_looked_at_outside_of_transforms_only():
    """Under vmap a wrong id cannot be seen; nothing else is raised in its place."""
    with pytest.raises(ValueError, match="target: expected class ids in"):
        core.dice_loss(ZC, Y + 3, mode="multiclass")
    ok = torch.func.vmap(lambda z, y: core.dice_loss(z[None], y[None], mode="multiclass"))(ZC, Y)
    assert ok.shape == (2,)


def test_an_environment_variable_switches_looking_at_values_off():
    """A wrong weight passes, and the loss is made without one value being asked for."""
    code = (
        "import torch, segloss_core as core\n"
        "torch.Tensor.item = None\n"
        "z, y = torch.zeros(2, 3, 4), torch.ones(2, 4, dtype=torch.long)\n"
        "for loss in (core.cross_entropy_loss, core.dice_loss):\n"
        "    loss(z, y, mode='multiclass', weight=torch.tensor([1.0, -1.0, 1.0]))\n"
    )
    for value, fails in (("0", False), ("1", True)):
        environment = {**os.environ, "SEGLOSS_CHECK_VALUES": value}
        found = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True)
        assert (found.returncode != 0) == fails, found.stderr


def test_a_gpu_looks_at_values_when_it_gets_there(monkeypatch):
    """Nothing is read from a tensor; what is asserted holds for right values and not for wrong."""
    asserted: list[tuple[bool, str]] = []
    monkeypatch.setattr(checks, "LATER", ("cpu",))
    monkeypatch.setattr(torch, "_assert_async", lambda ok, text: asserted.append((bool(ok), text)))
    monkeypatch.setattr(torch.Tensor, "item", None)
    several = {"mode": "multiclass"}
    shares = ZC.softmax(1)
    negative, infinite = torch.tensor([1.0, -1.0, 1.0]), torch.full(Y.shape, torch.inf)
    calls = [
        (core.dice_loss, (ZC, Y), (ZC, Y + 3), several, "target: expected class ids in"),
        (core.cross_entropy_loss, (Z, Y / 2), (Z, Y + 1.5), {}, "target: expected values in"),
        (core.focal_loss, (Z, Y > 0), (Z - 1, Y > 0), {"from_logits": False}, "input: exp"),
        (core.lovasz_hinge_loss, (Z, (Y > 0).float()), (Z, Y + 0.25), {}, "fractional parts"),
        (core.cross_entropy_loss, (ZC, shares), (ZC, 0 * shares), several, "sum to 1"),
        (core.dice_score, ((Y > 0).float(), Y > 0), (Y + 0.25, Y > 0), {}, "pred: expected a hard"),
        (core.two_nearest_distances, (Y,), (Y - 1,), {}, "instances: expected ids in"),
    ]
    for loss, right, wrong, options, message in calls:
        for values, fails in ((right, False), (wrong, True)):
            asserted.clear()
            with suppress(RuntimeError):  # the CPU does not take such an id either
                loss(*values, **options)
            assert all(ok for ok, _ in asserted) != fails, (loss, asserted)
        texts = [text for ok, text in asserted if not ok]
        assert any(message in text and "SEGLOSS_CHECK_VALUES=now" in text for text in texts), texts
    for options in ({"weight": negative}, {"pixel_weight": infinite}):
        asserted.clear()
        core.cross_entropy_loss(ZC, Y, mode="multiclass", **options)
        assert [text for ok, text in asserted if not ok and next(iter(options)) in text]


@pytest.mark.parametrize("loss", [core.cross_entropy_loss, core.dice_loss, core.lovasz_hinge_loss])
def test_a_mask_whose_foreground_is_void_is_asked_about(loss):
    """A mask of 0 and 255 with `ignore_index=255`; not a batch that has foreground anywhere, nor
    one with an image without void pixels, nor void pixels by `mask`."""
    y = 255 * (torch.arange(40).view(2, 4, 5) % 3 == 0)
    for target in (y, y.to(torch.uint8), y.float()):
        with pytest.warns(UserWarning, match=r"target: nothing but 0 and 255.*target == 255"):
            loss(Z, target, ignore_index=255)
    one, none = y.clone(), y.clone()
    one[1, 0, 1] = 1
    none[0] = 0
    for target in (one, none, torch.full_like(y, 255)):
        loss(Z, target, ignore_index=255)
    loss(Z, y, mask=y != 255)
