"""The module twins and CombinedLoss."""

import copy
import inspect
import pickle

import numpy as np
import pytest
import torch
from cases import CASES, LOSSES, TWINS, Case, focal_term, sample, specific_dice, weights

import segloss_core as core
from segloss_core.module import BATCH_ARGUMENTS


def test_every_loss_has_its_twin():
    names = {name for name in core.__all__ if name.endswith("_loss")}
    assert names == {function.__name__ for function in TWINS}
    for function, module in TWINS.items():
        assert function.__name__.replace("_", "") == module.__name__.lower()


@pytest.mark.parametrize(("function", "module"), TWINS.items(), ids=lambda x: x.__name__)
def test_signatures_agree(function, module):
    """The constructor takes the options, in order; the call takes what changes with the batch."""
    parameters = list(inspect.signature(function).parameters.values())
    assert [p.name for p in parameters[:2]] == ["input", "target"]
    assert all(p.kind is p.KEYWORD_ONLY for p in parameters[2:])
    options = [p for p in parameters[2:] if p.name not in BATCH_ARGUMENTS]
    assert list(inspect.signature(module).parameters.values()) == options
    assert set(module.batch_arguments) == {p.name for p in parameters[2:]} - {
        p.name for p in options
    }
    assert module.__doc__ is not None
    assert inspect.getdoc(function) in inspect.getdoc(module)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_modules_give_the_value_of_their_function(case: Case):
    z, y, extras = sample(case)
    criterion = TWINS[case.loss](mode=case.mode, **case.options)
    torch.testing.assert_close(criterion(z, y, **extras), case(z, y, **extras))
    for copied in (copy.deepcopy(criterion), pickle.loads(pickle.dumps(criterion))):
        torch.testing.assert_close(copied(z, y, **extras), case(z, y, **extras))


@pytest.mark.parametrize("case", LOSSES, ids=str)
def test_modules_can_be_compiled(case: Case):
    torch.compiler.reset()
    z, y, extras = sample(case)
    criterion = TWINS[case.loss](mode=case.mode, **case.options)
    compiled = torch.compile(criterion, fullgraph=True, backend="eager")
    torch.testing.assert_close(compiled(z, y, **extras), case(z, y, **extras))


@pytest.mark.parametrize("module", TWINS.values(), ids=lambda x: x.__name__)
def test_any_value_may_be_void(module):
    """The usual ones among them, on which a constructor tries its function."""
    required = {
        core.WeightedCrossEntropyLoss: {"beta": 2.0},
        core.PixelLoss: {"term": focal_term},
        core.RegionLoss: {"index": specific_dice},
    }.get(module, {})
    for value in (255, -1, -100, 0, 7):
        assert module(**required, ignore_index=value).ignore_index == value


def test_tensors_are_buffers_and_the_rest_are_attributes():
    """Weights move and load with the module."""
    criterion = core.CrossEntropyLoss(mode="multiclass", weight=weights(1, 2, 3), ignore_index=255)
    assert list(criterion.state_dict()) == ["weight"]
    assert criterion.ignore_index == 255
    assert not list(criterion.parameters())
    assert criterion.to("meta").weight.is_meta
    other = core.CrossEntropyLoss(mode="multiclass", weight=weights(0, 0, 0))
    other.load_state_dict({"weight": weights(1, 2, 3)})
    assert torch.equal(other.weight, weights(1, 2, 3))
    assert not core.CrossEntropyLoss().state_dict()


def test_weights_given_later_are_stored_as_those_given_first():
    """A tensor as a buffer, a parameter as one, a list as a tensor; over None, a number or each
    other."""
    three, ones = weights(1, 2, 3), torch.ones(3)
    criterion = core.CrossEntropyLoss(mode="multiclass")
    for value in (three, None, ones, [1, 2, 3], torch.nn.Parameter(ones), three):
        criterion.weight = value
        is_parameter = isinstance(value, torch.nn.Parameter)
        assert [name for name, _ in criterion.named_parameters()] == ["weight"] * is_parameter
        assert list(criterion.state_dict()) == ["weight"] * (value is not None)
    number = core.FocalLoss(mode="multilabel", alpha=0.25)
    number.alpha = three / 4
    assert list(number.state_dict()) == ["alpha"]
    number.alpha = 0.5
    assert not number.state_dict()

    learnt = core.CrossEntropyLoss(mode="multiclass", weight=torch.nn.Parameter(ones))
    z, y = torch.randn(2, 3, 5), torch.randint(3, (2, 5))
    learnt(z, y, pixel_weight=torch.rand(2, 5)).backward()
    assert learnt.weight.grad is not None


def test_stored_options_may_be_changed():
    criterion = core.TverskyLoss()
    criterion.alpha, criterion.beta = 1.0, 1.0
    z, y = torch.randn(2, 5), torch.randint(2, (2, 5))
    torch.testing.assert_close(criterion(z, y), core.jaccard_loss(z, y))


def test_repr_shows_what_was_chosen():
    """What stands on its default is left out."""
    assert repr(core.DiceLoss()) == "DiceLoss()"
    chosen = core.DiceLoss(mode="multiclass", smooth=1.0, ignore_index=255)
    assert repr(chosen) == "DiceLoss(mode='multiclass', smooth=1.0, ignore_index=255)"
    assert repr(core.WeightedCrossEntropyLoss(beta=2.0)) == "WeightedCrossEntropyLoss(beta=2.0)"


def test_a_module_may_be_subclassed():
    class Scaled(core.DiceLoss):
        def __init__(self, scale: float) -> None:
            super().__init__(mode="multiclass")
            self.scale = scale

        def forward(self, input, target, **batch):
            return self.scale * super().forward(input, target, **batch)

    class Plain(core.DiceLoss):
        """Nothing but a name."""

    assert repr(torch.nn.Sequential(Scaled(2.0))).count("Scaled(mode='multiclass')") == 1

    assert Plain.__doc__ == "Nothing but a name."
    assert Plain(smooth=1.0).smooth == 1.0
    z, y = torch.randn(2, 3, 5), torch.randint(3, (2, 5))
    expected = 2 * core.dice_loss(z, y, mode="multiclass")
    torch.testing.assert_close(Scaled(2.0)(z, y), expected)


def test_combined_loss_is_the_weighted_sum():
    z, y = torch.randn(2, 4, 5), torch.randint(2, (2, 4, 5))
    keep, heavy = torch.rand(2, 4, 5) > 0.3, torch.rand(2, 4, 5)
    criterion = core.CombinedLoss(
        {
            "dice": (0.5, core.DiceLoss()),
            "ce": (2, core.CrossEntropyLoss()),
            "border": (1, core.DistanceWeightedCrossEntropyLoss()),
            "other": (0.1, torch.nn.BCEWithLogitsLoss()),
        }
    )
    expected = (
        0.5 * core.dice_loss(z, y, mask=keep)
        + 2 * core.cross_entropy_loss(z, y, mask=keep, pixel_weight=heavy)
        + core.distance_weighted_cross_entropy_loss(
            z, y, mask=keep, pixel_weight=heavy, instances=y
        )
        + 0.1 * torch.nn.functional.binary_cross_entropy_with_logits(z, y.float())
    )
    loss = criterion(z, y.float(), mask=keep, pixel_weight=heavy, instances=y)
    torch.testing.assert_close(loss, expected)
    nested = core.CombinedLoss({"all": (1, criterion)})
    again = nested(z, y.float(), mask=keep, pixel_weight=heavy, instances=y)
    torch.testing.assert_close(again, expected)
    copied = pickle.loads(pickle.dumps(criterion))
    loss = copied(z, y.float(), mask=keep, pixel_weight=heavy, instances=y)
    torch.testing.assert_close(loss, expected)
    assert "weights={'dice': 0.5" in repr(criterion)


def test_combined_loss_gives_its_terms_by_name():
    """The summands, whose sum is the loss; pairs may be lists and weights numpy's."""
    z, y = torch.randn(2, 4, 5, requires_grad=True), torch.randint(2, (2, 4, 5))
    parts = {"dice": [np.float32(0.5), core.DiceLoss()], "ce": (np.int64(2), core.FocalLoss())}
    criterion = core.CombinedLoss(parts)
    terms = criterion.terms(z, y, mask=y >= 0)
    assert list(terms) == ["dice", "ce"]
    torch.testing.assert_close(terms["dice"], 0.5 * core.dice_loss(z, y))
    torch.testing.assert_close(terms["ce"], 2 * core.focal_loss(z, y))
    total = sum(terms.values())
    assert torch.equal(total, criterion(z, y))
    assert total.requires_grad
    each = core.CombinedLoss(
        {
            "ce": (1, core.CrossEntropyLoss(reduction="none")),
            "focal": (1, core.FocalLoss(reduction="none")),
        }
    )
    assert each(z, y).shape == y.shape


def test_combined_loss_holds_the_buffers_of_its_parts():
    criterion = core.CombinedLoss(
        {"ce": (1.0, core.CrossEntropyLoss(mode="multiclass", weight=weights(1, 2, 3)))}
    )
    assert list(criterion.state_dict()) == ["losses.ce.weight"]
