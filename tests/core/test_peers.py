"""Other packages: agreement where they are right, an asserted difference where they are not.

A difference is asserted on both sides, ours against the definition and theirs away from it, so a
release that mends a trap shows here.
"""

import json
import re
import warnings
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F

import segloss_core as core
from benchmarks.peers import losses_of


def losses_or_skip(package: str):
    try:
        return losses_of(package)
    except ImportError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def smp():
    return losses_or_skip("segmentation_models_pytorch")


@pytest.fixture(scope="module")
def monai():
    return losses_or_skip("monai")


@pytest.fixture(scope="module")
def kornia():
    return losses_or_skip("kornia")


@pytest.fixture(scope="module")
def nnunet():
    """The three modules of nnunetv2/training/loss that hold its losses, and what they are given."""
    names = {}
    for module in ("dice", "robust_ce_loss", "compound_losses"):
        names |= vars(pytest.importorskip(f"nnunetv2.training.loss.{module}"))
    names["dice"] = {"batch_dice": True, "smooth": 0, "ddp": False}
    names["softmax"] = lambda z: z.softmax(1)
    return SimpleNamespace(**names)


@pytest.fixture
def monai_metrics():
    """Without its warnings of empty masks, and of an argument that it gives to itself."""
    metrics = pytest.importorskip("monai.metrics")
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"the .* is all 0|monai\.metrics\.utils get_mask_edges")
        yield metrics


@pytest.fixture(scope="module")
def torchmetrics():
    return pytest.importorskip("torchmetrics.functional.segmentation")


def data(mode, seed=0, B=2, C=3, size=6):
    g = torch.Generator().manual_seed(seed)
    z = torch.randn(B, 1 if mode == "binary" else C, size, size, generator=g, dtype=torch.float64)
    if mode == "multiclass":
        return z, torch.randint(C, (B, size, size), generator=g)
    return z, torch.randint(2, z.shape, generator=g)


def same(a, b, **options):
    torch.testing.assert_close(a.double(), b.double(), **{"rtol": 1e-4, "atol": 1e-5, **options})


def differ(a, b):
    assert abs(float(a) - float(b)) > 1e-3


MODES = ["binary", "multiclass", "multilabel"]
MULTI = {"mode": "multiclass"}


# ---- agreement ----


@pytest.mark.parametrize("mode", MODES)
def test_smp_agrees_on_overlaps_of_the_batch(smp, mode):
    z, y = data(mode)
    same(core.dice_loss(z, y, mode=mode), smp.DiceLoss(mode)(z, y))
    same(core.jaccard_loss(z, y, mode=mode), smp.JaccardLoss(mode)(z, y))
    theirs = smp.TverskyLoss(mode, alpha=0.3, beta=0.7)(z, y)
    same(core.tversky_loss(z, y, mode=mode, alpha=0.3, beta=0.7), theirs)


def test_smp_agrees_on_lovasz(smp):
    z, y = data("multiclass")
    same(core.lovasz_softmax_loss(z, y), smp.LovaszLoss("multiclass")(z.float(), y))
    z, y = data("binary")
    z = z.float()
    same(core.lovasz_hinge_loss(z, y), smp.LovaszLoss("binary")(z, y))
    theirs = smp.LovaszLoss("binary", per_image=True)(z, y)
    same(core.lovasz_hinge_loss(z, y, per_image=True), theirs)


def test_smp_agrees_on_binary_focal(smp):
    z, y = data("binary")
    same(core.focal_loss(z, y, alpha=0.25), smp.FocalLoss("binary", alpha=0.25)(z, y))


@pytest.mark.parametrize("batch", [False, True])
def test_monai_agrees_on_overlaps(monai, batch):
    z, y = data("multiclass", size=12)
    options = {"softmax": True, "to_onehot_y": True, "batch": batch}
    options |= {"smooth_nr": 0, "smooth_dr": 1e-12}
    ours = {"mode": "multiclass", "per_image": not batch}
    same(core.dice_loss(z, y, **ours), monai.DiceLoss(**options)(z, y[:, None]))
    jaccard = monai.DiceLoss(jaccard=True, **options)(z, y[:, None])
    same(core.jaccard_loss(z, y, **ours), jaccard)
    squared = monai.DiceLoss(squared_pred=True, **options)(z, y[:, None])
    same(core.dice_loss(z, y, squared=True, **ours), squared)
    tversky = monai.TverskyLoss(alpha=0.3, beta=0.7, **options)(z, y[:, None])
    same(core.tversky_loss(z, y, alpha=0.3, beta=0.7, **ours), tversky)


def test_monai_agrees_on_dice_with_cross_entropy(monai):
    """The answer to an exercise of the chapter."""
    z, y = data("binary", size=12)
    ours = {"dice": (1.0, core.DiceLoss()), "ce": (0.5, core.CrossEntropyLoss())}
    theirs = monai.DiceCELoss(sigmoid=True, batch=True, lambda_ce=0.5)
    same(core.CombinedLoss(ours)(z, y), theirs(z, y.double()))


def test_monai_agrees_on_sigmoid_focal(monai):
    z, y = data("multilabel")
    theirs = monai.FocalLoss(gamma=2.0, alpha=0.25)(z, y.double())
    same(core.focal_loss(z, y, mode="multilabel", alpha=0.25), theirs)


@pytest.mark.parametrize("batch", [False, True])
@pytest.mark.parametrize(("theirs", "ours"), [("square", "inverse_square"), ("simple", "inverse")])
def test_monai_agrees_on_generalized_dice(monai, batch, theirs, ours):
    z, y = data("multiclass", size=12)
    options = {"softmax": True, "to_onehot_y": True, "batch": batch, "w_type": theirs}
    expected = monai.GeneralizedDiceLoss(smooth_nr=0, smooth_dr=0, **options)(z, y[:, None])
    same(core.generalized_dice_loss(z, y, weight=ours, per_image=not batch, **MULTI), expected)


@pytest.mark.parametrize("batch", [False, True])
def test_monai_agrees_on_mcc(monai, batch):
    z, y = data("multiclass", size=12)
    options = {"softmax": True, "to_onehot_y": True, "batch": batch, "smooth_dr": 0}
    expected = monai.MCCLoss(**options)(z, y[:, None])
    same(core.mcc_loss(z, y, per_image=not batch, **MULTI), expected)


def test_smp_agrees_on_mcc_of_probabilities(smp):
    z, y = data("binary", size=12)
    theirs = smp.MCCLoss(eps=0)(z.sigmoid(), y)
    same(core.mcc_loss(z, y), theirs)


def nnunet_top_k(z, y, ignore_index, percent):
    """The definition of nnU-Net's TopKLoss, written out: a share of all pixels, void ones too."""
    losses = F.cross_entropy(z, y, ignore_index=ignore_index, reduction="none").flatten()
    return losses.topk(int(losses.numel() * percent / 100), sorted=False).values.mean()


@pytest.mark.parametrize("percent", [10, 25, 100])
def test_nnunet_agrees_on_the_hardest_pixels_where_none_is_void(percent):
    z, y = data("multiclass", size=10)
    ours = core.cross_entropy_loss(z, y, top_k=percent / 100, **MULTI)
    same(ours, nnunet_top_k(z, y, 255, percent), rtol=1e-12)


def test_kornia_agrees_on_macro_dice_tversky_and_lovasz(kornia):
    z, y = data("multiclass", size=12)
    theirs = kornia.dice_loss(z, y, average="macro")
    same(core.dice_loss(z, y, per_image=True, **MULTI), theirs)
    theirs = kornia.tversky_loss(z, y, alpha=0.3, beta=0.7)
    same(core.tversky_loss(z, y, alpha=0.3, beta=0.7, per_image=True, **MULTI), theirs)
    theirs = kornia.lovasz_softmax_loss(z, y)
    same(core.lovasz_softmax_loss(z, y, classes="all", per_image=True), theirs)


def test_kornia_agrees_on_binary_focal(kornia):
    z, y = data("binary")
    theirs = kornia.binary_focal_loss_with_logits(z, y.double(), alpha=0.25, reduction="mean")
    same(core.focal_loss(z, y, alpha=0.25), theirs)


@pytest.mark.parametrize("weight", [None, torch.tensor([0.2, 1.0, 3.0], dtype=torch.float64)])
@pytest.mark.parametrize("label_smoothing", [0.0, 0.1])
def test_torch_agrees_on_cross_entropy(weight, label_smoothing):
    z, y = data("multiclass")
    options = {"weight": weight, "label_smoothing": label_smoothing}
    void = y.clone()
    void[:, :2] = 255
    theirs = F.cross_entropy(z, void, ignore_index=255, **options)
    same(core.cross_entropy_loss(z, void, ignore_index=255, **MULTI, **options), theirs, rtol=1e-12)
    p = z.flip(1).softmax(1)
    theirs = F.cross_entropy(z, p, **options)
    same(core.cross_entropy_loss(z, p, **MULTI, **options), theirs, rtol=1e-12)


def test_torch_agrees_on_binary_cross_entropy():
    z, y = data("multilabel")
    pos_weight = torch.tensor([0.2, 1.0, 3.0], dtype=torch.float64)
    theirs = F.binary_cross_entropy_with_logits(z, y.double(), pos_weight=pos_weight.view(3, 1, 1))
    same(core.cross_entropy_loss(z, y, mode="multilabel", pos_weight=pos_weight), theirs)
    same(core.weighted_cross_entropy_loss(z, y, mode="multilabel", beta=pos_weight), theirs)


# ---- migration ----

CHAPTER = Path(__file__).parents[2] / "book" / "11_choosing.ipynb"
ROW = re.compile(r"^\| `(.+?)` \| `(.+?)` \|", re.MULTILINE)


def moving(lang):
    """What the chapter says of moving from another package."""
    cells = json.loads(CHAPTER.read_text(encoding="utf-8"))["cells"]
    texts = ("".join(cell["source"]) for cell in cells if lang in cell["metadata"].get("tags", []))
    return next(text for text in texts if "(sec-choosing-moving)=" in text)


def migrations():
    """The rows of the chapter's migration tables: package, its call, the call here."""
    text = moving("en")
    for peer in ("smp", "monai", "kornia", "nnunet"):
        label = f"(sec-choosing-{peer})="
        table = text.split(label)[1].split("\n(sec-")[0]
        rows = ROW.findall(table)
        assert len(rows) >= 6
        for theirs, ours in rows:
            yield pytest.param(peer, theirs, ours, id=f"{peer}-{theirs}")


@pytest.mark.filterwarnings("ignore:size_average and reduce")  # nnU-Net's TopKLoss
@pytest.mark.parametrize(("peer", "theirs", "ours"), list(migrations()))
def test_a_row_of_the_migration_tables_is_an_equation(request, peer, theirs, ours):
    """Same value and same gradient, on the same logits."""
    names = {"w": torch.tensor(3.0)}
    criterion = eval(ours, vars(core) | names)
    modes = {m.mode for m in criterion.modules() if hasattr(m, "mode")} or {"multiclass"}
    (mode,) = modes
    z, y = data(mode, size=12)
    z = z.float().requires_grad_()
    target, given = y, z
    if peer == "nnunet":
        target = y[:, None]
    elif peer == "monai":
        target = y[:, None] if mode == "multiclass" else y.float()
    elif "WithLogits" in theirs:  # torch's own name and its floats
        target = y.float()
    elif theirs.startswith("LovaszHinge"):  # kornia takes no channel here
        target = y.squeeze(1)
    elif (peer, theirs) == ("smp", "MCCLoss(eps=0)"):  # takes probabilities
        given = z.sigmoid()
    call = theirs.removeprefix("1 + ")  # nnU-Net's Dice is -DC
    their_loss = eval(call, vars(request.getfixturevalue(peer)) | names)(given, target)
    their_loss = their_loss + (call != theirs)
    our_loss = criterion(z, y)
    same(our_loss, their_loss)
    same(*(torch.autograd.grad(loss, z)[0] for loss in (our_loss, their_loss)), atol=1e-6)


#: What nnunetv2 2.8.1 defines in nnunetv2/training/loss: dice.py, robust_ce_loss.py,
#: compound_losses.py and deep_supervision.py.
OF_NNUNET = {
    "SoftDiceLoss",
    "MemoryEfficientSoftDiceLoss",
    "RobustCrossEntropyLoss",
    "TopKLoss",
    "DC_and_CE_loss",
    "DC_and_BCE_loss",
    "DC_and_topk_loss",
    "DeepSupervisionWrapper",
}


@pytest.mark.parametrize("peer", ["smp", "monai", "kornia", "nnunet"])
@pytest.mark.parametrize("lang", ["ko", "en"])
def test_every_loss_that_a_package_ships_has_a_place(request, peer, lang):
    """A row of the migration tables, or its place on the map of losses."""
    if peer == "nnunet":
        shipped = OF_NNUNET
    else:
        module = request.getfixturevalue(peer)
        objects = (getattr(module, name) for name in dir(module))
        classes = {x for x in objects if isinstance(x, type) and issubclass(x, torch.nn.Module)}
        shipped = {x.__name__ for x in classes}
    assert len(shipped) >= 8
    code = " ".join(re.findall(r"`([^`]+)`", moving(lang)))
    assert {name for name in shipped if not re.search(rf"\b{name}\b", code)} == set()


# ---- differences ----


def test_trap_a1_micro_dice_is_linear_accuracy(kornia):
    """kornia's default average="micro" is 1 - mean p_true; ours sums per class."""
    z, y = data("multiclass")
    z[:, 0] += 6  # predicts background everywhere
    y[:, 1:] = 0  # and is right but for one row
    accuracy = z.softmax(1).gather(1, y[:, None]).mean()
    same(kornia.dice_loss(z, y), 1 - accuracy)
    assert accuracy > 0.85
    assert core.dice_loss(z, y, **MULTI) > 0.6


def test_trap_a2_alpha_and_beta_change_the_loss_apart_from_each_other():
    z, y = data("multiclass")
    found = {
        round(core.tversky_loss(z, y, alpha=a, beta=b, **MULTI).item(), 4)
        for a, b in [(0.3, 0.7), (0.7, 0.3), (0.9, 0.1)]
    }
    assert len(found) == 3


def test_trap_b5_lovasz_takes_the_indicator_of_the_class():
    """Raw ids in its place give another value, and one that changes when classes are renamed."""
    z, y = data("multiclass")
    p = z.softmax(1)

    def with_raw_ids(p, y):
        losses = []
        for c in range(3):
            errors = ((y == c).double() - p[:, c]).abs().flatten()
            order = errors.argsort(descending=True)
            truth = y.flatten()[order].double()  # the slip: ids, not y == c
            hits = truth.sum() - truth.cumsum(0)
            jaccard = 1 - hits / (truth.sum() + (1 - truth).cumsum(0))
            losses.append((errors[order] * jaccard.diff(prepend=jaccard.new_zeros(1))).sum())
        return torch.stack(losses).mean()

    order = torch.tensor([2, 0, 1])
    differ(with_raw_ids(p, y), with_raw_ids(p[:, order], order.argsort()[y]))
    differ(with_raw_ids(p, y), core.lovasz_softmax_loss(z, y))
    renamed = core.lovasz_softmax_loss(z[:, order], order.argsort()[y])
    same(core.lovasz_softmax_loss(z, y), renamed)


def test_trap_b6_perfect_logits_have_no_lovasz_softmax_loss():
    y = torch.tensor([[0, 1, 2]])
    z = 20 * F.one_hot(y, 3).movedim(-1, 1).double()
    assert core.lovasz_softmax_loss(z, y) < 1e-7


def test_trap_b7_nothing_present_keeps_the_graph(smp):
    z, y = data("multiclass")
    theirs = smp.LovaszLoss("multiclass", ignore_index=255)(z.requires_grad_(), y * 0 + 255)
    assert not getattr(theirs, "requires_grad", False) or torch.as_tensor(theirs).numel() != 1
    ours = core.lovasz_softmax_loss(z, y * 0 + 255, ignore_index=255)
    ours.backward()
    assert ours == 0
    assert (z.grad == 0).all()


def test_trap_b8_an_absent_class_costs_its_mean_not_its_largest_probability(kornia):
    z, y = data("multiclass", B=1)
    y = y.clamp(max=1)
    p, each = z.softmax(1), core.lovasz_softmax_loss(z, y, reduction="none")
    same(kornia.lovasz_softmax_loss(z, y), (each[0] + each[1] + p[:, 2].max()) / 3)
    same(core.lovasz_softmax_loss(z, y, classes="all"), (each[0] + each[1] + p[:, 2].mean()) / 3)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
def test_trap_b10_any_floating_dtype_works(smp, dtype):
    z, y = data("multiclass")
    with pytest.raises(RuntimeError, match="same dtype"):
        smp.LovaszLoss("multiclass")(z.to(dtype), y)
    exact = core.lovasz_softmax_loss(z.to(dtype).double(), y)
    same(core.lovasz_softmax_loss(z.to(dtype), y), exact, rtol=1e-5)


def test_trap_b11_labels_are_separate_problems(smp):
    z, y = data("multilabel")
    z = z.float()
    each = [core.lovasz_hinge_loss(z[:, c], y[:, c]) for c in range(3)]
    same(core.lovasz_hinge_loss(z, y, mode="multilabel"), torch.stack(each).mean())
    differ(smp.LovaszLoss("multilabel")(z, y), torch.stack(each).mean())


def test_trap_b12_an_all_correct_margin_below_one_still_costs():
    y = torch.tensor([[1, 1, 0]])
    assert core.lovasz_hinge_loss(0.5 * (2.0 * y - 1), y).item() == pytest.approx(0.5)


def test_trap_c13_the_mean_divides_by_valid_pixels(smp):
    z, y = data("multiclass")
    void = y.clone()
    void[:, :3] = 255
    ours = core.cross_entropy_loss(z, void, ignore_index=255, **MULTI)
    same(ours, core.cross_entropy_loss(z[:, :, 3:], y[:, 3:], **MULTI))
    theirs = smp.SoftCrossEntropyLoss(smooth_factor=0.0, ignore_index=255)(z, void)
    same(theirs, ours / 2)  # half of the pixels are void
    z, y = data("binary")
    void = y.double()
    void[:, :, :3] = -100
    ours = core.cross_entropy_loss(z, void, ignore_index=-100)
    same(smp.SoftBCEWithLogitsLoss()(z, void), ours / 2)


def test_trap_c14_focal_with_void_pixels_is_not_c_times_larger(monai):
    z, y = data("multiclass")
    ours = core.focal_loss(z, y, **MULTI)
    same(core.focal_loss(z, y, ignore_index=255, **MULTI), ours)
    options = {"to_onehot_y": True, "use_softmax": True}
    without = monai.FocalLoss(**options)(z, y[:, None])
    with_void = monai.FocalLoss(ignore_index=255, **options)(z, y[:, None])
    same(with_void, 3 * without)


def test_trap_c15_void_pixels_are_masked_after_the_activation():
    """Logits times the mask would leave p = 1/2 under void pixels."""
    z, y = torch.tensor([[5.0, 5.0, 5.0, 5.0]]), torch.tensor([[1, 0, 1, 0]])
    mask = torch.tensor([[True, True, False, False]])
    inside = core.dice_loss(z[:, :2], y[:, :2])
    same(core.dice_loss(z, y, mask=mask), inside)
    differ(core.dice_loss(z * mask, y * mask), inside)


def test_trap_c17_void_labels_crash_nothing():
    z, y = data("multiclass")
    y[0, 0] = 255
    for loss in (core.dice_loss, core.focal_loss, core.tversky_loss, core.lovasz_softmax_loss):
        assert loss(z, y, ignore_index=255, **MULTI).isfinite()
    with pytest.raises(ValueError, match="target"):
        core.dice_loss(z, y, **MULTI)  # not taken for the last class


def test_trap_c19_all_void_is_zero(kornia):
    z, y = data("multiclass")
    void = torch.full_like(y, 255)
    assert F.cross_entropy(z, void, ignore_index=255).isnan()
    same(kornia.dice_loss(z, void, average="macro", ignore_index=255), torch.ones(()))
    for loss in (core.cross_entropy_loss, core.dice_loss, core.focal_loss):
        assert loss(z, void, ignore_index=255, **MULTI) == 0


def test_trap_d20_absent_classes_dilute_nothing_and_empty_masks_have_a_gradient(smp):
    z, y = data("multiclass")
    y = y.clamp(max=1)
    each = core.dice_loss(z, y, reduction="none", **MULTI)
    same(core.dice_loss(z, y, **MULTI), each[:2].mean())
    same(smp.DiceLoss("multiclass")(z, y), each[:2].sum() / 3)
    z, y = data("binary")
    assert smp.DiceLoss("binary")(z, 0 * y) == 0
    z.requires_grad_()
    core.dice_loss(z, 0 * y).backward()
    assert z.grad.min() > 0


def test_trap_c20_a_share_of_pixels_is_one_of_valid_pixels():
    """With void pixels counted as well, half of all is all that is left; a small share is NaN."""
    p = torch.tensor([[0.9, 0.8, 0.7, 0.8]], dtype=torch.float64)
    z, y = torch.stack([1 - p, p], 1).log(), torch.tensor([[1, 1, 255, 255]])
    same(nnunet_top_k(z, y, 255, 50), torch.tensor(0.164252))  # the mean of both valid pixels
    ours = core.cross_entropy_loss(z, y, ignore_index=255, top_k=0.5, **MULTI)
    same(ours, torch.tensor(0.223144))
    assert nnunet_top_k(z, y, 255, 10).isnan()
    same(core.cross_entropy_loss(z, y, ignore_index=255, top_k=0.1, **MULTI), ours)


def test_trap_d22_correlation_with_an_empty_mask_has_a_gradient(monai):
    z = torch.zeros(1, 1, 10, 10, dtype=torch.float64, requires_grad=True)
    y = torch.zeros_like(z)
    theirs = monai.MCCLoss(sigmoid=True)(z, y)
    assert theirs == 1
    assert (torch.autograd.grad(theirs, z)[0] == 0).all()
    ours = torch.autograd.grad(core.mcc_loss(z, y), z)[0]
    assert ours.sum() == pytest.approx(0.25)


def test_trap_d23_generalized_dice_gives_no_weight_to_what_is_absent(monai):
    """MONAI gives it the largest weight of the others, and an empty mask no gradient."""
    z, y = data("multiclass", size=12)
    y = y.clamp(max=1)
    options = {"softmax": True, "to_onehot_y": True, "batch": True, "smooth_nr": 0, "smooth_dr": 0}
    p, one_hot = z.softmax(1), F.one_hot(y, 3).movedim(-1, 1)
    tp, size = (p * one_hot).sum((0, 2, 3)), (p + one_hot).sum((0, 2, 3))
    w = one_hot.sum((0, 2, 3)).double() ** -2
    same(
        core.generalized_dice_loss(z, y, **MULTI), 1 - 2 * (w * tp)[:2].sum() / (w * size)[:2].sum()
    )
    w[2] = w[:2].max()
    theirs = monai.GeneralizedDiceLoss(**options)(z, y[:, None])
    same(theirs, 1 - 2 * (w * tp).sum() / (w * size).sum())
    z, y = data("binary")
    z.requires_grad_()
    theirs = monai.GeneralizedDiceLoss(sigmoid=True)(z, 0 * y)
    assert (torch.autograd.grad(theirs, z)[0] == 0).all()
    assert torch.autograd.grad(core.generalized_dice_loss(z, 0 * y), z)[0].min() > 0


def test_trap_d21_the_gradient_of_an_empty_mask_does_not_vanish(monai):
    z = torch.zeros(1, 1, 100, 100, dtype=torch.float64, requires_grad=True)
    y = torch.zeros_like(z)
    theirs = torch.autograd.grad(monai.DiceLoss(sigmoid=True)(z, y), z)[0].sum()
    ours = torch.autograd.grad(core.dice_loss(z, y), z)[0].sum()
    assert theirs < 1e-6
    assert ours == pytest.approx(0.25)


def test_trap_e24_softmax_focal_is_one_softmax_not_many_sigmoids(smp):
    z, y = data("multiclass")
    log_p = z.log_softmax(1).gather(1, y[:, None])
    definition = (-((1 - log_p.exp()) ** 2) * log_p).mean()
    same(core.focal_loss(z, y, **MULTI), definition)
    differ(smp.FocalLoss("multiclass")(z, y), definition)
    same(core.focal_loss(z.softmax(1), y, from_logits=False, **MULTI), definition)


def test_trap_e25_focal_with_gamma_0_is_cross_entropy_not_a_share_of_it(monai, kornia):
    z, y = data("multiclass")
    ce = F.cross_entropy(z, y)
    same(core.focal_loss(z, y, gamma=0, **MULTI), ce)
    theirs = monai.FocalLoss(gamma=0.0, use_softmax=True, to_onehot_y=True)(z, y[:, None])
    same(theirs, ce / 3)
    same(kornia.focal_loss(z, y, alpha=None, gamma=0.0, reduction="mean"), ce / 3)


def test_trap_e26_every_logit_takes_part_in_the_softmax(monai):
    z, y = data("multiclass")
    more = z.clone()
    more[:, 0] += 100
    criterion = monai.FocalLoss(use_softmax=True, to_onehot_y=True, include_background=False)
    same(criterion(z, y[:, None]), criterion(more, y[:, None]))
    differ(core.focal_loss(z, y, **MULTI), core.focal_loss(more, y, **MULTI))


@pytest.mark.parametrize("gamma", [0.1, 0.5, 0.9])
def test_trap_e27_exponents_below_one_have_finite_gradients(smp, gamma):
    z, y = torch.full((1, 1, 1, 1), 60.0, requires_grad=True), torch.ones(1, 1, 1, 1)
    theirs = smp.FocalLoss("binary", gamma=gamma)(z, y)
    assert torch.autograd.grad(theirs, z)[0].isnan().all()
    assert torch.autograd.grad(core.focal_loss(z, y, gamma=gamma), z)[0].isfinite().all()
    scores = torch.tensor([[[60.0], [0.0]]], requires_grad=True)
    loss = core.focal_loss(scores, torch.zeros(1, 1).long(), gamma=gamma, **MULTI)
    assert torch.autograd.grad(loss, scores)[0].isfinite().all()


def test_trap_e30_reduction_none_is_one_number_per_pixel(smp):
    z, y = data("multiclass")
    assert smp.FocalLoss("multiclass", reduction="none")(z, y).ndim == 0
    assert core.focal_loss(z, y, reduction="none", **MULTI).shape == y.shape


def test_trap_e31_soft_targets_of_focal_stay_finite():
    z, _ = data("binary")
    assert core.focal_loss(10 * z, z.sigmoid(), gamma=1.5).isfinite()


def test_trap_f33_soft_targets_are_best_predicted_as_they_are(monai):
    y = torch.full((1, 1, 1, 4), 0.5, dtype=torch.float64)
    p = y.clone().requires_grad_()
    theirs = monai.DiceLoss(smooth_nr=0, smooth_dr=0)(p, y)
    same(theirs, torch.tensor(0.5))  # 0 would be right
    assert torch.autograd.grad(theirs, p)[0].max() < 0  # and it asks for more
    assert core.dice_loss(p, y, from_logits=False) == 0


def test_trap_f35_the_exponent_belongs_to_each_class(smp):
    """smp takes the mean of the classes first, so with gamma it is another loss."""
    z, y = data("multiclass")
    options = {"alpha": 0.3, "beta": 0.7, "gamma": 0.75}
    each = core.tversky_loss(z, y, alpha=0.3, beta=0.7, reduction="none", **MULTI)
    same(core.tversky_loss(z, y, **options, **MULTI), (each**0.75).mean())
    z[:, 0] += 3  # classes that differ
    each = core.tversky_loss(z, y, alpha=0.3, beta=0.7, reduction="none", **MULTI)
    same(smp.TverskyLoss("multiclass", **options)(z, y), each.mean() ** 0.75)
    differ(core.tversky_loss(z, y, **options, **MULTI), each.mean() ** 0.75)


def test_trap_f36_smooth_has_one_meaning(smp):
    z, y = data("binary")
    same(core.dice_loss(z, y, smooth=2.0), smp.DiceLoss("binary", smooth=1.0)(z, y))
    p, y = torch.tensor([[0.5, 1.0]]), torch.tensor([[0, 1]])
    ours = core.dice_loss(p, y, smooth=1.0, from_logits=False)
    same(ours, torch.tensor(1 - 3 / 3.5))


def test_trap_f37_weights_are_divided_out_again(monai):
    z, y = data("multiclass")
    weight = torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64)
    each = core.dice_loss(z, y, reduction="none", **MULTI)
    same(core.dice_loss(z, y, weight=weight, **MULTI), (weight * each).sum() / 6)
    options = {"softmax": True, "to_onehot_y": True, "batch": True}
    theirs = monai.DiceLoss(weight=weight, **options)(z, y[:, None])
    same(theirs, (weight * each).sum() / 3, rtol=1e-3)


def test_trap_f38_losses_are_not_negative():
    z, y = data("binary")
    for loss in (core.dice_loss, core.jaccard_loss, core.tversky_loss, core.lovasz_hinge_loss):
        assert loss(100 * (2.0 * y - 1), y) >= 0
        assert loss(z, y) > 0


def test_trap_g42_sums_do_not_overflow_half_precision(smp):
    z = torch.full((1, 1, 512, 512), 5.0, dtype=torch.float16)
    y = torch.ones(1, 1, 512, 512, dtype=torch.float16)
    assert not smp.DiceLoss("binary")(z, y) < 0.1
    assert core.dice_loss(z, y) < 0.01


def test_trap_g43_products_of_four_sums_do_not_overflow_half_precision(monai):
    z = torch.randn(1, 1, 256, 256, generator=torch.Generator().manual_seed(0)).half()
    y = (z > 0).half()
    assert monai.MCCLoss(sigmoid=True)(z, y).isnan()
    same(core.mcc_loss(z, y), core.mcc_loss(z.double(), y.double()))


# ---- distances to edges ----


def edges(seed=0, size=(14, 10)):
    """Two masks (1, 1, *) that overlap in part."""
    pred, target = torch.zeros(2, 1, 1, *size)
    target[..., 3:9, 2:7] = 1
    pred[..., 4:11, 3:8] = 1
    return pred, target


@pytest.mark.parametrize("spacing", [None, [2.0, 0.5]])
def test_scipy_agrees_on_distances(spacing):
    ndimage = pytest.importorskip("scipy.ndimage")
    mask = torch.rand(40, 50, generator=torch.Generator().manual_seed(0)) > 0.9
    there, back = (
        torch.from_numpy(ndimage.distance_transform_edt(x.numpy(), sampling=spacing))
        for x in (~mask, mask)
    )
    ours = core.signed_distance(mask[None], convention="centre", spacing=spacing)[0]
    same(ours, there - back)


def test_monai_agrees_on_hausdorff_loss(monai):
    """Of binary masks in floats, with alpha = 2."""
    pred, target = edges()
    z = 4 * pred - 2
    theirs = monai.HausdorffDTLoss(sigmoid=True, include_background=True)(z, target)
    same(core.hausdorff_loss(z, target), theirs)


# ---- measures of surfaces ----

WITH_BACKGROUND = {"include_background": True}


def blots(*shape, seed=0):
    """Two masks (B, 1, *) as integers, full of holes and cut off by the image."""
    g = torch.Generator().manual_seed(seed)
    target = torch.rand(shape, generator=g) < 0.4
    return (target ^ (torch.rand(shape, generator=g) < 0.1)).long(), target.long()


def row(*pixels):
    """A mask (1, 1, 1, N)."""
    return torch.tensor([[[pixels]]])


def squares(*shape):
    """Two squares of 2 by 2 pixels (1, 1, *), 3 apart along the last axis."""
    pred, target = torch.zeros(2, 1, 1, *shape, dtype=torch.long)
    target[..., 1:3, 1:3] = 1
    pred[..., 1:3, 4:6] = 1
    return pred, target


@pytest.mark.parametrize(
    ("shape", "spacing"),
    [
        ((12, 17), None),
        ((12, 17), [2.0, 0.5]),
        ((5, 6, 7), None),
        ((5, 6, 7), [2.0, 0.5, 1.0]),
        ((5, 6, 7), [0.3, 0.3, 0.3]),  # four voxels are within 1.2, however they are rounded
    ],
    ids=str,
)
@pytest.mark.parametrize("seed", range(3))
def test_monai_agrees_on_surfaces(monai_metrics, shape, spacing, seed):
    """With the options by which it is symmetric and counts pixels."""
    pred, target = blots(3, 1, *shape, seed=seed)
    ours = {"spacing": spacing, "reduction": "none"}
    theirs = {"spacing": spacing, **WITH_BACKGROUND}
    for percentile in (100, 95, 50):
        same(
            core.hausdorff_distance(pred, target, percentile=percentile, **ours),
            monai_metrics.compute_hausdorff_distance(pred, target, percentile=percentile, **theirs),
        )
    same(
        core.average_surface_distance(pred, target, **ours),
        monai_metrics.compute_average_surface_distance(pred, target, symmetric=True, **theirs),
    )
    for tolerance in (0, 0.6, 1.2):
        same(
            core.surface_dice(pred, target, tolerance=tolerance, **ours),
            monai_metrics.compute_surface_dice(pred, target, [tolerance], **theirs),
        )


@pytest.mark.parametrize("classes", ["present", "all"])
def test_monai_agrees_on_means_of_classes_and_images_with_void_pixels(monai_metrics, classes):
    """Class 2 is in neither mask of the first image, and does not count there; where it is but
    predicted, it counts as one of all."""
    g = torch.Generator().manual_seed(0)
    target = torch.randint(3, (3, 9, 12), generator=g)
    pred = torch.where(torch.rand(3, 9, 12, generator=g) < 0.2, 1, target)
    pred[0].clamp_(max=1)
    target[0].clamp_(max=1)
    if classes == "all":
        pred[0, 0, :2] = 2
    target[:, 2:5, 3:6] = 3  # void
    pred_maps, target_maps = (F.one_hot(x, 4).movedim(-1, 1) for x in (pred, target))
    ours = {"num_classes": 3, "classes": classes, "ignore_index": 3, **MULTI}
    theirs = {"ignore_index": 3, **WITH_BACKGROUND}
    for measure, metric in (
        (core.hausdorff_distance, monai_metrics.HausdorffDistanceMetric(**theirs)),
        (
            core.average_surface_distance,
            monai_metrics.SurfaceDistanceMetric(symmetric=True, **theirs),
        ),
        (
            partial(core.surface_dice, tolerance=1),
            monai_metrics.SurfaceDiceMetric([1.0] * 4, **theirs),
        ),
    ):
        metric(pred_maps, target_maps)
        same(measure(pred, target, **ours), metric.aggregate().squeeze())


def test_the_chapter_says_which_measure_is_which(monai_metrics):
    """Each row of its table is an equation."""
    text = CHAPTER.with_name("13_boundary.ipynb").read_text(encoding="utf-8")
    row = r"\| (MONAI|torchmetrics) `(\w+)\((.*?)\)` \| `(\w+_\w+)\((.*?)\)` \|"
    rows = set(re.findall(row, text))
    assert len(rows) == 4
    modules = {
        "MONAI": monai_metrics,
        "torchmetrics": pytest.importorskip("torchmetrics.segmentation"),
    }
    pred, target = blots(3, 1, 12, 12)
    for package, metric, their_options, measure, our_options in rows:
        theirs = partial(getattr(modules[package], metric), **WITH_BACKGROUND)
        ours = partial(getattr(core, measure), pred, target)
        their_values = eval(f"theirs({their_options})", {"theirs": theirs})(pred, target)
        same(eval(f"ours({our_options})", {"ours": ours}), their_values.mean())


@pytest.mark.parametrize("spacing", [None, [2.0, 0.5]])
@pytest.mark.parametrize("seed", range(3))
def test_torchmetrics_agrees_on_hausdorff_distances_of_squares(torchmetrics, spacing, seed):
    pred, target = blots(3, 2, 12, 12, seed=seed)
    theirs = torchmetrics.hausdorff_distance(
        pred, target, num_classes=2, spacing=spacing, **WITH_BACKGROUND
    )
    options = {"mode": "multilabel", "spacing": spacing, "reduction": "none"}
    same(core.hausdorff_distance(pred, target, **options), theirs)


@pytest.mark.parametrize(
    ("shape", "spacing"), [((12, 17), None), ((12, 17), [2.0, 0.5]), ((5, 6, 7), [2.0, 0.5, 1.0])]
)
def test_scipy_agrees_on_hausdorff_distances(shape, spacing):
    ndimage = pytest.importorskip("scipy.ndimage")
    directed = pytest.importorskip("scipy.spatial.distance").directed_hausdorff
    pred, target = blots(1, *shape)
    size = torch.tensor(spacing or [1.0] * len(shape))
    a, b = (
        torch.from_numpy(x & ~ndimage.binary_erosion(x)).nonzero() * size
        for x in (pred[0].bool().numpy(), target[0].bool().numpy())
    )
    farthest = max(directed(a, b)[0], directed(b, a)[0])
    ours = core.hausdorff_distance(pred, target, spacing=spacing)
    same(ours, torch.tensor(farthest))


def eroded_boundary_iou(pred, target, width):
    """As the authors of the boundary IoU compute it: by squares, with nothing beyond the image."""
    ndimage = pytest.importorskip("scipy.ndimage")
    square = ndimage.generate_binary_structure(2, 2)
    one, other = (
        x & ~ndimage.binary_erosion(x, square, iterations=width)
        for x in (pred.bool().numpy(), target.bool().numpy())
    )
    return torch.tensor((one & other).sum() / (one | other).sum())


@pytest.mark.parametrize("seed", range(3))
def test_the_authors_agree_on_boundary_ious_of_one_pixel(seed):
    pred, target = blots(1, 12, 17, seed=seed)
    same(core.boundary_iou(pred, target, width=1), eroded_boundary_iou(pred[0], target[0], 1))


def test_trap_h53_an_image_is_not_always_square(torchmetrics):
    """theirs takes the height for the width where it writes down distances."""
    theirs = partial(torchmetrics.hausdorff_distance, num_classes=1, **WITH_BACKGROUND)
    for shape in ((11, 11), (10, 11), (11, 10), (2, 10, 11)):
        assert core.hausdorff_distance(*squares(*shape)) == 3
    assert theirs(*squares(11, 11)) == 3
    assert theirs(*squares(10, 11)) == 6
    with pytest.raises(IndexError, match="out of bounds"):
        theirs(*squares(11, 10))
    with pytest.raises(ValueError, match="rank 2"):
        theirs(*squares(2, 11, 11))


def test_trap_h54_a_missed_object_is_infinitely_far(monai_metrics):
    """Of two images with one pixel each, in one of which it is missed."""
    target, pred = row(0, 1, 0).repeat(2, 1, 1, 1), torch.cat([row(1, 0, 0), row(0, 0, 0)])
    for percentile, mean in ((None, torch.inf), (95, 1), (100, 1)):
        metric = monai_metrics.HausdorffDistanceMetric(percentile=percentile, **WITH_BACKGROUND)
        each = metric(pred, target)
        assert each[0] == 1
        assert each[1].isinf() if percentile is None else each[1].isnan()
        assert metric.aggregate() == mean
        assert core.hausdorff_distance(pred, target, percentile=percentile or 100).isinf()


def test_trap_h55_a_mask_rightly_left_empty_does_not_count(monai_metrics, torchmetrics):
    target, pred = row(0, 1, 0).repeat(2, 1, 1, 1), row(1, 0, 0).repeat(2, 1, 1, 1)
    target[1], pred[1] = 0, 0
    assert core.hausdorff_distance(pred, target) == 1
    assert core.hausdorff_distance(pred, target, reduction="none").tolist() == [[1], [0]]
    theirs = monai_metrics.compute_hausdorff_distance(pred, target, **WITH_BACKGROUND)
    assert theirs[0] == 1
    assert theirs[1].isnan()
    with pytest.raises(RuntimeError, match="numel"):
        torchmetrics.hausdorff_distance(pred, target, num_classes=1, **WITH_BACKGROUND)


def test_trap_h56_a_mask_in_floats_is_a_mask(torchmetrics):
    """theirs takes it for the scores of one class, which every pixel then is of."""
    pred, target = (x.float() for x in squares(11, 11))
    theirs = torchmetrics.hausdorff_distance(pred, target, num_classes=1, **WITH_BACKGROUND)
    assert theirs == 0
    assert core.hausdorff_distance(pred, target) == 3


def test_trap_h57_percentile_0_is_the_smallest_distance(monai_metrics):
    pred, target = row(1, 1, 1), row(1, 0, 0)
    theirs = monai_metrics.compute_hausdorff_distance(pred, target, percentile=0, **WITH_BACKGROUND)
    assert theirs == 2
    assert core.hausdorff_distance(pred, target, percentile=0) == 0


def test_trap_h58_an_average_distance_counts_what_is_missed(monai_metrics):
    """theirs goes by default from the prediction to the target alone."""
    pred, target = row(1, 0, 0, 0, 0), row(1, 0, 0, 0, 1)
    theirs = partial(monai_metrics.compute_average_surface_distance, **WITH_BACKGROUND)
    assert theirs(pred, target) == 0
    expected = torch.tensor(4 / 3)  # (0 + 0 + 4) of 3 pixels
    same(core.average_surface_distance(pred, target), expected)
    same(theirs(pred, target, symmetric=True).squeeze(), expected)


def test_trap_h59_a_surface_is_its_pixels_not_the_line_between_them(monai_metrics):
    """With use_subvoxels theirs adds up lengths of lines that cut the corners."""
    pred, target = row(0, 1, 1, 1, 1), row(0, 1, 1, 0, 0)
    theirs = partial(monai_metrics.compute_surface_dice, class_thresholds=[1], **WITH_BACKGROUND)
    expected = torch.tensor(5 / 6)  # of 4 pixels and 2 one is 2 off
    same(core.surface_dice(pred, target, tolerance=1), expected)
    same(theirs(pred, target).squeeze(), expected)
    corner = 0.5**0.5  # both lines have four; between them 3 + 3 and 1 + 1, and two corners are off
    lines = theirs(pred, target, use_subvoxels=True).squeeze()
    same(lines, torch.tensor(1 - 2 * corner / (8 * corner + 8)))


def test_trap_h60_a_band_is_as_wide_in_every_direction():
    """The centre of 5 by 5 pixels is 1.5 √2 from a corner that is missing, more than 2."""
    target = torch.ones(1, 5, 5, dtype=torch.long)
    pred = target.clone()
    pred[0, 0, 0] = 0
    same(core.boundary_iou(pred, target, width=2), torch.tensor(23 / 24))
    same(eroded_boundary_iou(pred[0], target[0], 2), torch.tensor(23 / 25))
