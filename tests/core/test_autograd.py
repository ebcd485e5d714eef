"""Every loss under torch's transforms: gradients of gradients, compile, export, func."""

import shutil
from functools import partial

import pytest
import torch
from cases import CASES, LOSSES, Case, sample
from torch.autograd import gradcheck, gradgradcheck


def function_of_input(case, z, y, extras, **more):
    return lambda x: case(x, y, **extras, **more), z.detach().requires_grad_()


@pytest.mark.parametrize("case", CASES, ids=str)
def test_gradcheck(case: Case):
    f, z = function_of_input(case, *sample(case, spatial=(3,)), reduction="none")
    assert gradcheck(f, z)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_gradgradcheck(case: Case):
    f, z = function_of_input(case, *sample(case, spatial=(3,)))
    assert gradgradcheck(f, z)


@pytest.mark.parametrize("case", LOSSES, ids=str)
def test_gradcheck_in_probabilities(case: Case):
    z, y, extras = sample(case, spatial=(3,), scale=0.5)
    p = z.softmax(1) if case.mode == "multiclass" else z.sigmoid()
    f, p = function_of_input(case, p, y, extras, from_logits=False)
    assert gradcheck(f, p)


def values_and_gradients(f, z, y, extras):
    z = z.detach().requires_grad_()
    loss = f(z, y, **extras)
    return loss.detach(), torch.autograd.grad(loss, z)[0]


@pytest.mark.parametrize("case", LOSSES, ids=str)
@pytest.mark.parametrize("void", [False, True])
def test_compile_in_one_graph(case: Case, void: bool):
    torch.compiler.reset()
    z, y, extras = sample(case, spatial=(4, 3))
    if void:
        y[0] = 255

    def f(z, y, **extras):
        return case.loss(
            z, y, mode=case.mode, ignore_index=255 if void else None, **case.options, **extras
        )

    compiled = torch.compile(f, fullgraph=True, backend="aot_eager")
    plain = values_and_gradients(f, z, y, extras)
    torch.testing.assert_close(values_and_gradients(compiled, z, y, extras), plain)


@pytest.mark.parametrize("case", {case.loss: case for case in LOSSES}.values(), ids=str)
def test_compile_for_all_sizes(case: Case):
    """Sizes are symbols then: neither checks nor their messages may ask for a number."""
    torch.compiler.reset()
    f = partial(case.loss, mode=case.mode, **case.options)
    compiled = torch.compile(f, fullgraph=True, dynamic=True, backend="aot_eager")
    z, y, extras = sample(case, spatial=(4, 3))
    plain = values_and_gradients(f, z, y, extras)
    torch.testing.assert_close(values_and_gradients(compiled, z, y, extras), plain)


@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")  # by inductor's own import
@pytest.mark.skipif(shutil.which("c++") is None, reason="inductor needs a C++ compiler")
def test_compile_with_inductor():
    torch.compiler.reset()
    case = next(case for case in LOSSES if str(case) == "dice-multiclass")
    z, y, _ = sample(case, spatial=(4, 3))
    compiled = torch.compile(case.loss, fullgraph=True)
    plain = values_and_gradients(lambda z, y: case.loss(z, y, mode=case.mode), z, y, {})
    fast = values_and_gradients(lambda z, y: compiled(z, y, mode=case.mode), z, y, {})
    torch.testing.assert_close(fast, plain)


class Whole(torch.nn.Module):
    def __init__(self, case, extras):
        super().__init__()
        self.case, self.names = case, list(extras)

    def forward(self, z, y, *extras):
        options = {**self.case.options, **dict(zip(self.names, extras, strict=True))}
        return self.case.loss(z, y, mode=self.case.mode, **options)


@pytest.mark.parametrize("case", LOSSES, ids=str)
@pytest.mark.parametrize("strict", [False, True])
def test_export(case: Case, strict: bool):
    z, y, extras = sample(case, spatial=(4, 3))
    whole = Whole(case, extras)
    program = torch.export.export(whole, (z, y, *extras.values()), strict=strict)
    other, target, more = sample(case, spatial=(4, 3), seed=5)
    torch.testing.assert_close(
        program.module()(other, target, *more.values()), whole(other, target, *more.values())
    )


@pytest.mark.parametrize("case", LOSSES, ids=str)
def test_func_grad_and_vmap(case: Case):
    z, y, extras = sample(case, batch=3, spatial=(4,))

    def loss(z, y, extras):  # of one image
        more = {name: x.unsqueeze(0) for name, x in extras.items()}
        return case(z.unsqueeze(0), y.unsqueeze(0), **more)

    one_by_one = torch.stack(
        [loss(z[i], y[i], {k: v[i] for k, v in extras.items()}) for i in range(3)]
    )
    torch.testing.assert_close(torch.func.vmap(loss)(z, y, extras), one_by_one)
    gradients = torch.func.vmap(torch.func.grad(loss))(z, y, extras)
    z.requires_grad_()
    expected = torch.autograd.grad(torch.func.vmap(loss)(z, y, extras).sum(), z)[0]
    torch.testing.assert_close(gradients, expected)


@pytest.mark.parametrize("case", LOSSES, ids=str)
def test_per_sample_gradients_with_void_pixels(case: Case):
    z, y, extras = sample(case, batch=3, spatial=(4,))
    y[..., 0] = 255

    def loss(z, y, extras):
        more = {name: x.unsqueeze(0) for name, x in extras.items()}
        return case(z.unsqueeze(0), y.unsqueeze(0), ignore_index=255, **more)

    gradients = torch.func.vmap(torch.func.grad(loss))(z, y, extras)
    assert (gradients[..., 0] == 0).all()
    assert gradients.isfinite().all()


@pytest.mark.parametrize("case", LOSSES, ids=str)
def test_values_are_not_looked_at_on_fake_and_meta_tensors(case: Case):
    z, y, extras = sample(case)
    options = {k: v.to("meta") if torch.is_tensor(v) else v for k, v in case.options.items()}
    meta = {k: v.to("meta") for k, v in extras.items()}
    assert case(z.to("meta"), y.to("meta"), **options, **meta).shape == ()
