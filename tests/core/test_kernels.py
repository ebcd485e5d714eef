"""What only the kernels could get wrong; that they equal the formulas is in test_values."""

import gc
import weakref

import pytest
import torch
from cases import CASES, LOSSES, Case, sample
from torch.fx.experimental.proxy_tensor import make_fx

import segloss_core as core
from segloss_core.fast import dispatch

HARD = [case for case in LOSSES if not case.soft]


@pytest.fixture
def both(monkeypatch):
    """Value and gradient by the formula and by the kernel."""

    def evaluate(case, z, y, **extras):
        results = []
        for by_kernel in (False, True):
            monkeypatch.setattr(dispatch, "is_large", lambda *_, large=by_kernel: large)
            x = z.detach().requires_grad_()
            loss = case(x, y, **extras)
            results.append((loss.detach(), torch.autograd.grad(loss, x)[0]))
        return results

    return evaluate


@pytest.fixture
def kernels(monkeypatch):
    monkeypatch.setattr(dispatch, "is_large", lambda *_: True)


@pytest.mark.parametrize("case", HARD, ids=str)
def test_backward_again(case: Case, kernels):
    """The first backward gives its buffer away, so the second computes anew."""
    z, y, extras = sample(case, spatial=(3, 4))
    loss = case(z.requires_grad_(), y, **extras)
    first, second = (torch.autograd.grad(loss, z, retain_graph=True)[0] for _ in range(2))
    assert torch.equal(first, second)
    assert first.data_ptr() != second.data_ptr()


@pytest.mark.parametrize("case", HARD, ids=str)
def test_a_factor_after_the_loss(case: Case, kernels):
    z, y, extras = sample(case, spatial=(3, 4))
    z.requires_grad_()
    (once,) = torch.autograd.grad(case(z, y, **extras), z)
    (thrice,) = torch.autograd.grad(3 * case(z, y, **extras), z)
    torch.testing.assert_close(thrice, 3 * once)


@pytest.mark.parametrize("case", HARD, ids=str)
def test_a_change_before_backward_is_noticed(case: Case, both):
    """As by torch: an error, or the gradient of what was there."""
    z, y, extras = sample(case, spatial=(3, 4))
    extras |= {"mask": torch.arange(24).view(2, 3, 4) % 5 > 0}
    tensors = {"input": z, "target": y, **extras}
    tensors |= {k: v for k, v in case.options.items() if torch.is_tensor(v)}
    _, (_, expected) = both(case, z, y, **extras)
    for name in tensors:
        given = {key: x.clone() for key, x in tensors.items()}
        x = given["input"].requires_grad_()
        more = {key: given[key] for key in given if key not in ("input", "target")}
        loss = case(x.view_as(x), given["target"], **more)
        with torch.no_grad():
            given[name].zero_()
        try:
            (gradient,) = torch.autograd.grad(loss, x)
        except RuntimeError as error:
            assert "modified by an inplace operation" in str(error)  # noqa: PT017
        else:
            assert torch.equal(gradient, expected), name


@pytest.mark.parametrize("case", HARD, ids=str)
def test_nothing_but_the_value_lives_on_after_backward(case: Case, kernels):
    """As where losses are added up to be logged."""
    z, y, extras = sample(case, spatial=(3, 4))
    extras |= {"mask": torch.ones(2, 3, 4, dtype=torch.bool)}
    x = z.requires_grad_() * 1
    loss = case(x, y, **extras)
    loss.backward()
    given = [weakref.ref(tensor) for tensor in (x, y, *extras.values())]
    del x, y, extras
    gc.collect()
    assert [ref() for ref in given] == [None] * len(given)
    assert loss.isfinite()


@pytest.mark.parametrize("case", CASES, ids=str)
def test_nan_in_a_valid_pixel_is_nan_in_value_and_gradient(case: Case, both):
    z, y, extras = sample(case, spatial=(3, 4))
    z[0, ..., 0, 0] = torch.nan
    for void in ({}, {"mask": torch.arange(24).view(2, 3, 4) != 7}):
        for value, gradient in both(case, z, y, **extras, **void):
            assert value.isnan()
            assert gradient[0, ..., 0, 0].isnan().all()


@pytest.mark.parametrize("case", HARD, ids=str)
def test_nan_where_no_target_pixel_is(case: Case, both):
    """An empty class is filled by something else, which knows NaN as well."""
    z, y, extras = sample(case, spatial=(3, 4))
    z[0, ..., 0, 0] = torch.nan
    everything = {"classes": "all"} if case.is_region else {}
    for value, gradient in both(case, z, torch.zeros_like(y), **extras, **everything):
        assert value.isnan()
        assert gradient[0, ..., 0, 0].isnan().all()


@pytest.mark.parametrize("case", HARD, ids=str)
def test_infinite_logits(case: Case, both):
    """On the right side as a very large one; on the wrong side anything, but never NaN."""
    z, y, extras = sample(case, spatial=(3, 4))
    if case.mode == "multiclass":  # a class that is impossible, but it may be the label
        right = z.scatter(1, (y.unsqueeze(1) + 1) % 3, -torch.inf)
        wrong = z.scatter(1, y.unsqueeze(1)[..., :1, :1], -torch.inf)
    else:
        right = (2 * y - 1) * torch.inf
        wrong = right.clone()
        wrong[0, ..., 0, :2] *= -1
    finite = right.clamp(-1e4, 1e4)
    for (value, gradient), expected in zip(
        both(case, right, y, **extras), both(case, finite, y, **extras), strict=True
    ):
        torch.testing.assert_close((value, gradient), expected)
    for value, gradient in both(case, wrong, y, **extras):
        assert not value.isnan()
        assert not gradient.isnan().any()


@pytest.mark.parametrize("case", HARD, ids=str)
@pytest.mark.parametrize("under", [0.0, 3e38, torch.inf, torch.nan])
def test_void_pixels_of_an_image_with_one_label(case: Case, under: float, both):
    """Most classes are empty then, and a factor of 0 could not hide what was divided by 0."""
    z, y, extras = sample(case, spatial=(3, 4), dtype=torch.float32)
    extras = {k: v.float() if v.is_floating_point() else v for k, v in extras.items()}
    y = torch.ones_like(y)
    y[..., 0, 0] = 255
    z[..., 0, 0] = under
    z[0, ..., 0, 0] *= -1
    for value, gradient in both(case, z, y, ignore_index=255, **extras):
        assert value.isfinite()
        assert gradient.isfinite().all()
        assert (gradient[..., 0, 0] == 0).all()


@pytest.mark.parametrize("case", HARD, ids=str)
def test_memory_layouts(case: Case, both):
    z, y, extras = sample(case, spatial=(3, 4))
    strange = [z.transpose(-1, -2).contiguous().transpose(-1, -2)]
    if "lovasz" not in str(case):  # where equal errors of two images may come in either order
        strange.append(z[:1].expand_as(z))
    if z.ndim == 4:
        strange.append(z.to(memory_format=torch.channels_last))
    for x in strange:
        plain, fast = both(case, x, y, **extras)
        torch.testing.assert_close(fast, plain)


@pytest.mark.parametrize("case", HARD, ids=str)
def test_backward_under_autocast_stays_in_float32(case: Case, kernels):
    z, y, extras = sample(case, spatial=(3, 4), dtype=torch.float32)
    z.requires_grad_()
    extras = {k: v.float() if v.is_floating_point() else v for k, v in extras.items()}
    (plain,) = torch.autograd.grad(case(z, y, **extras), z)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        (cast,) = torch.autograd.grad(case(z, y, **extras), z)
    torch.testing.assert_close(cast, plain)


@pytest.mark.parametrize("case", HARD, ids=str)
def test_no_gradient_wanted(case: Case, kernels):
    z, y, extras = sample(case, spatial=(3, 4))
    value = case(z, y, **extras)
    assert not value.requires_grad
    torch.testing.assert_close(value, case(z.requires_grad_(), y, **extras).detach())


@pytest.mark.parametrize("case", HARD, ids=str)
def test_default_blocks_on_a_large_image(case: Case, both):
    """Large enough for several blocks; the float32 sums of a block cost no digits."""
    z, y, extras = sample(case, batch=1, spatial=(300, 400), dtype=torch.float32)
    extras = {k: v.float() if v.is_floating_point() else v for k, v in extras.items()}
    (value, gradient), (fast, slope) = both(case, z, y, **extras)
    # An error on the edge of a bin may be rounded to either side.
    rtol = 1e-5 if "bins" in case.options else 2e-6
    torch.testing.assert_close(fast, value, rtol=rtol, atol=0)
    scale = gradient.abs().max()
    torch.testing.assert_close(slope / scale, gradient / scale, rtol=1e-3, atol=1e-4)


def test_bits_of_errors_are_ordered_at_every_magnitude(both):
    """From denormal numbers to the largest: the shifted keys must not overflow."""
    errors = torch.cat([10.0 ** torch.arange(-44, 39), torch.tensor([3.4e38])])
    errors = errors.float()[torch.randperm(len(errors), generator=torch.Generator().manual_seed(0))]
    y = torch.arange(len(errors)) % 3 == 0
    z = torch.where(y, 1 - errors, errors - 1).double()
    case = Case(core.lovasz_hinge_loss, "binary", None)
    for dtype in (torch.float32, torch.float64):
        (value, gradient), (fast, slope) = both(case, z.to(dtype)[None], y[None])
        torch.testing.assert_close(fast, value, rtol=1e-5, atol=0)
        torch.testing.assert_close(slope, gradient, rtol=1e-5, atol=0)


@pytest.mark.parametrize("scale", [0.0, 0.1, 1.0, 50.0])
@pytest.mark.parametrize("loss", [core.lovasz_hinge_loss, core.lovasz_softmax_loss])
def test_slabs_of_errors(loss, scale: float, both):
    """From errors that are all the same to errors that are nearly all 0 or far apart."""
    generator = torch.Generator().manual_seed(0)
    mode, classes = ("binary", 1) if loss is core.lovasz_hinge_loss else ("multiclass", 3)
    z = scale * torch.randn(2, classes, 500, 400, generator=generator)
    y = torch.randint(max(2, classes), (2, 500, 400), generator=generator)
    z[:, -1:] += 2 * scale * torch.where(y > 0, 1.0, -1.0).unsqueeze(1)
    y = y if classes > 1 else y.unsqueeze(1)
    (value, gradient), (fast, slope) = both(Case(loss, mode, None), z, y)
    torch.testing.assert_close(fast, value, rtol=1e-5, atol=0)
    if scale > 0:  # else the order of equal errors is anybody's choice
        largest = gradient.abs().max()
        torch.testing.assert_close(slope / largest, gradient / largest, rtol=1e-3, atol=1e-4)


def test_weights_that_are_learnt_have_their_gradient():
    """A kernel differentiates by the logits alone, so it must not hide the weights."""
    z, y = torch.randn(2, 3, 4, dtype=torch.float64), torch.randint(3, (2, 4))
    mask = (y > 1).unsqueeze(1).expand_as(z)

    def slope(loss, name, weight):
        weight = weight.double().requires_grad_()
        return torch.autograd.grad(loss(**{name: weight}), weight)[0]

    def losses():
        several = {"mode": "multiclass"}
        labels = {"mode": "multilabel"}
        pixels = torch.rand(2, 4)
        three = torch.rand(3)
        yield lambda **k: core.cross_entropy_loss(z, y, **several, **k), "pixel_weight", pixels
        yield lambda **k: core.focal_loss(z, y, **several, **k), "alpha", three
        yield lambda **k: core.focal_loss(z, mask, **labels, **k), "alpha", three

    for loss, name, weight in losses():
        found = []
        for by_kernel in (False, True):
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(dispatch, "is_large", lambda *_, large=by_kernel: large)
                found.append(slope(loss, name, weight))
        assert (found[0] != 0).any()
        assert torch.equal(*found)


@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning")  # of checks that look at values
@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")  # torch's own
@pytest.mark.parametrize("case", HARD, ids=str)
def test_transforms_around_a_kernel(case: Case, kernels):
    """Of something else, of its gradient, and of the code that calls it."""
    z, y, extras = sample(case, spatial=(3, 4))
    z.requires_grad_()

    def loss(z):
        return case(z, y, **extras)

    alone = loss(z)
    (gradient,) = torch.autograd.grad(alone, z, retain_graph=True)
    factors = torch.arange(3).double()
    scaled = factors.view(3, *[1] * z.ndim) * gradient

    def close(found, expected):
        torch.testing.assert_close(found, expected)

    close(torch.func.vmap(lambda f: f * loss(z))(factors), factors * alone)
    close(torch.func.grad(lambda f: f * loss(z))(factors[2]), alone)
    close(torch.func.jvp(lambda f: f * loss(z), (factors[2],), (factors[1],))[1], alone)
    close(torch.func.grad(loss)(z), gradient)
    close(torch.func.jacrev(loss)(z), gradient)
    close(torch.func.jvp(loss, (z,), (torch.ones_like(z),))[1], gradient.sum())
    (batched,) = torch.autograd.grad(alone, z, factors, is_grads_batched=True, retain_graph=True)
    close(batched, scaled)
    jacobian = torch.autograd.functional.jacobian
    close(jacobian(lambda z: factors * loss(z), z, vectorize=True), scaled)
    traced = torch.jit.trace(loss, z.detach(), check_trace=False)
    close(traced(2 * z), loss(2 * z))
    graph = make_fx(loss)(z.detach())
    close(graph(2 * z), loss(2 * z))


@pytest.mark.filterwarnings("ignore:The .grad attribute:UserWarning")  # of what Dynamo looks at
@pytest.mark.parametrize("case", HARD[:1] + HARD[-2:], ids=str)
def test_compiled_autograd(case: Case, kernels):
    z, y, extras = sample(case, spatial=(3, 4))
    z.requires_grad_()
    (gradient,) = torch.autograd.grad(case(z, y, **extras), z)
    torch.compiler.reset()
    with torch._dynamo.compiled_autograd._enable(torch.compile(backend="eager")):
        loss = case(z, y, **extras)
        loss.backward(retain_graph=True)
        loss.backward()
    torch.testing.assert_close(z.grad, 2 * gradient)


@pytest.mark.parametrize("case", HARD, ids=str)
def test_defaults_of_torch_change_nothing(case: Case, both):
    z, y, extras = sample(case, spatial=(3, 4), dtype=torch.float32)
    extras |= {"mask": torch.arange(24).view(2, 3, 4) % 5 > 0}
    expected = both(case, z, y, **extras)
    settings = [(torch.set_default_dtype, x) for x in (torch.float16, torch.float64)]
    for set_default, value in [*settings, (torch.set_default_device, "meta")]:
        before = torch.get_default_dtype() if "dtype" in set_default.__name__ else None
        try:
            set_default(value)
            found = both(case, z, y, **extras)
        finally:
            set_default(before)
        torch.testing.assert_close(found, expected, rtol=0, atol=0)


def test_counts_beyond_half_precision_under_a_half_default(both):
    """The number of valid pixels is no number of torch's default dtype."""
    z, y = torch.randn(1, 90_000).half(), torch.arange(90_000).view(1, -1) % 2
    case = Case(core.cross_entropy_loss, "binary", None)
    expected = both(case, z, y, mask=y >= 0)
    torch.set_default_dtype(torch.float16)
    try:
        found = both(case, z, y, mask=y >= 0)
    finally:
        torch.set_default_dtype(torch.float32)
    torch.testing.assert_close(found, expected, rtol=0, atol=0)


@pytest.mark.parametrize("case", [c for c in CASES if not c.soft], ids=str)
def test_weights_in_double_precision_leave_a_float32_loss(case: Case, both):
    z, y, extras = sample(case, spatial=(3, 4), dtype=torch.float32)
    extras = {k: v.double() if v.is_floating_point() else v for k, v in extras.items()}
    for value, gradient in both(case, z, y, **extras):
        assert value.dtype == gradient.dtype == torch.float32
        exact = case(z.double(), y, **extras)
        # The map of distances is of float32, and an error may lie on the edge of a bin.
        torch.testing.assert_close(value.double(), exact, rtol=2e-6, atol=1e-7)


@pytest.mark.parametrize(
    "case", [c for c in CASES if c.is_region and not c.is_mean and not c.soft], ids=str
)
def test_no_rounding_takes_a_loss_below_0(case: Case, both):
    for seed in range(3):
        z, y, _ = sample(case, spatial=(60, 60), seed=seed, dtype=torch.float32)
        right = y if case.mode != "multiclass" else torch.nn.functional.one_hot(y, 3).movedim(-1, 1)
        for scale in (8.0, 15.0, 90.0):
            for value, _ in both(case, z + scale * (2 * right - 1), y):
                assert value >= 0


@pytest.mark.parametrize("positive", [0.0, 1e-4, 1.0])
@pytest.mark.parametrize("gamma", [None, 0.5, 2.0])
def test_one_sided_targets_and_large_logits_keep_their_digits(positive, gamma, both):
    """Balanced cross entropy, whose weights differ by 10^4, and focal losses, at any logit."""
    generator = torch.Generator().manual_seed(0)
    for scale in (1.0, 1e2, 1e4):
        z = scale * torch.randn(2, 3, 200, generator=generator)
        if gamma is None:
            case = Case(core.balanced_cross_entropy_loss, "multilabel", None)
            y = torch.rand(z.shape, generator=generator) < positive
        else:
            case = Case(core.focal_loss, "multiclass", None, {"gamma": gamma})
            y = torch.randint(3, (2, 200), generator=generator)
            z = z + scale  # a common part, which a softmax does not know
        exact = both(case, z.double(), y)[1]
        largest = exact[1].abs().max()
        for value, gradient in both(case, z, y):
            torch.testing.assert_close(value.double(), exact[0], rtol=1e-6, atol=0)
            torch.testing.assert_close(
                gradient.double() / largest, exact[1] / largest, rtol=1e-3, atol=1e-5
            )


@pytest.mark.parametrize("case", [case for case in HARD if case.mode != "multiclass"], ids=str)
@pytest.mark.parametrize("wrong", [[2.0] + 8 * [0.5], [-1.0] + 8 * [0.5], [torch.nan]], ids=str)
def test_wrong_labels_are_refused_though_their_sums_look_right(case: Case, wrong, kernels):
    """y - y^2 of -2 and eight times 1/4, where a kernel looks at sums to see whether y is hard."""
    z, y, extras = sample(case, spatial=(7, 8))
    y = y.float()
    y.flatten()[: len(wrong)] = torch.tensor(wrong)
    extras.pop("ignore_index", None)
    with pytest.raises(ValueError, match=r"target: expected .*\[0, 1\]"):
        case(z, y, **extras)
