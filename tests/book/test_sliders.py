"""The curves that the sliders draw are those of the core."""

import math

import pytest
import torch
from playwright.sync_api import Browser, Page

import segloss_core
from book.editions import ROOT

LOGITS = [-30.0, -6.0, -1.7, -0.2, 0.0, 0.4, 1.0, 3.3, 6.0, 30.0]

# A figure of logits, settings of its sliders, and the loss of the core with the same options.
PIXEL_LOSSES = [
    ("weighted", {"β": beta}, "weighted_cross_entropy_loss", {"beta": beta})
    for beta in (0.1, 1.0, 7.3)
]
PIXEL_LOSSES += [
    ("balanced", {"β": beta}, "balanced_cross_entropy_loss", {"beta": beta})
    for beta in (0.0, 0.35, 0.9, 1.0)
]
PIXEL_LOSSES += [
    ("focal", {"γ": gamma, "α": alpha}, "focal_loss", {"gamma": gamma, "alpha": alpha})
    for gamma in (0.0, 0.5, 2.0, 5.0)
    for alpha in (0.25, 0.5, 1.0)
]


@pytest.fixture(scope="module")
def script(browser: Browser) -> Page:
    page = browser.new_page()
    page.add_script_tag(path=ROOT / "book" / "_static" / "sliders.js")
    return page


def curve(script: Page, figure: str, panel: int, name: str, xs: list[float], setting: dict):
    return script.evaluate(
        "([figure, panel, name, xs, setting]) =>"
        " xs.map((x) => window.sliderFigures[figure].panels[panel].curves[name](x, setting))",
        [figure, panel, name, xs, setting],
    )


@pytest.mark.parametrize(("figure", "setting", "loss", "options"), PIXEL_LOSSES)
@pytest.mark.parametrize("y", [0, 1])
def test_losses_and_gradients_of_a_pixel(
    script: Page, figure: str, setting: dict, loss: str, options: dict, y: int
) -> None:
    z = torch.tensor(LOGITS, dtype=torch.float64, requires_grad=True)
    target = torch.full_like(z, y).detach()
    values = getattr(segloss_core, loss)(z, target, reduction="none", **options)
    [slopes] = torch.autograd.grad(values.sum(), z)
    for panel, expected in enumerate((values, slopes)):
        drawn = curve(script, figure, panel, f"y = {y}", LOGITS, setting)
        assert drawn == pytest.approx(expected.tolist(), rel=1e-9, abs=1e-12)


@pytest.mark.parametrize(("k", "gamma", "mu"), [(0.1, 2.0, 3.0), (0.5, 0.5, 0.0), (0.05, 5.0, 5.5)])
def test_pixels_by_rank(script: Page, k: float, gamma: float, mu: float) -> None:
    """Ten thousand pixels, whose logits are the quantiles of a logistic distribution."""
    ranks = (torch.arange(10_000, dtype=torch.float64) + 0.5) / 10_000
    z = (mu + torch.logit(ranks))[None].requires_grad_()
    y = torch.ones_like(z)
    each = segloss_core.cross_entropy_loss(z, y, top_k=k, reduction="none")
    chosen = each[0] > 0
    setting = {"k": k, "γ": gamma, "μ": mu}
    places = [0.003, 0.0402, 0.0702, 0.302, 0.602]
    at = [int(u * 10_000) for u in places]
    weights = {"top-k": chosen.double(), "focal": (1 - z[0].sigmoid()) ** gamma}
    losses = {
        "top-k": each,
        "focal": segloss_core.focal_loss(z, y, gamma=gamma, reduction="none"),
        "CE": segloss_core.cross_entropy_loss(z, y, reduction="none"),
    }
    shares = {}
    for name, values in losses.items():
        [slopes] = torch.autograd.grad(values.sum(), z)
        shares[name] = slopes[0].abs().cumsum(0) / slopes.abs().sum()
    for name in ("top-k", "focal"):
        drawn = curve(script, "hardest", 0, name, places, setting)
        assert drawn == pytest.approx(weights[name][at].tolist(), abs=5e-3)
        drawn = curve(script, "hardest", 1, name, places, setting)
        assert drawn == pytest.approx(shares[name][at].tolist(), abs=2e-2)
    said = script.evaluate("(setting) => window.sliderFigures.hardest.reading(setting)", setting)
    assert said["q"] == pytest.approx(math.exp(-each[0][chosen].min().item()), abs=1e-3)
    last = int(k * 10_000) - 1
    for name in ("CE", "focal"):
        assert said[f"{name} ≤ k"] == pytest.approx(shares[name][last].item(), abs=1e-2)


@pytest.mark.parametrize("label", [0.0, 0.3, 1.0])
def test_cross_entropy_of_a_soft_label(script: Page, label: float) -> None:
    z = torch.tensor(LOGITS, dtype=torch.float64, requires_grad=True)
    target = torch.full_like(z, label).detach()
    losses = {
        ("ℓ", "p̂ − y"): segloss_core.cross_entropy_loss(z, target, reduction="none"),
        ("½(p̂ − y)²", "(p̂ − y) p̂ (1 − p̂)"): (z.sigmoid() - target) ** 2 / 2,
    }
    for names, values in losses.items():
        [slopes] = torch.autograd.grad(values.sum(), z)
        drawn = [curve(script, "ce", k, name, LOGITS, {"y": label}) for k, name in enumerate(names)]
        for curve_drawn, expected in zip(drawn, (values, slopes), strict=True):
            assert curve_drawn == pytest.approx(expected.tolist(), rel=1e-9, abs=1e-12)


@pytest.mark.parametrize(("alpha", "beta"), [(0.5, 0.5), (0.3, 0.7), (1.0, 0.2)])
def test_tversky_of_a_growing_mask(script: Page, alpha: float, beta: float) -> None:
    sizes = [1, 40, 99, 100, 101, 150, 200]
    target = (torch.arange(300) < 100)[None].double()
    expected = [
        segloss_core.tversky_loss(
            (torch.arange(300) < size)[None].double(),
            target,
            alpha=alpha,
            beta=beta,
            from_logits=False,
        ).item()
        for size in sizes
    ]
    setting = {"α": alpha, "β": beta}
    drawn = curve(script, "tversky", 0, "L", sizes, setting)
    assert drawn == pytest.approx(expected, abs=1e-12)
    # Said in words at the last size, where half of what is painted is a false positive.
    said = script.evaluate(
        "(setting) => window.sliderFigures.tversky.reading(setting)", setting | {"|X|": 200}
    )
    assert said == {"TP": 100, "FP": 100, "FN": 0, "L": pytest.approx(expected[-1])}


@pytest.mark.parametrize("radius", [2.0, 12.0, 17.5])
def test_overlap_of_two_discs(script: Page, radius: float) -> None:
    """Drawn on a grid of a twentieth of a pixel."""
    shifts = [0.0, 3.0, 11.0, 25.0, 40.0]
    line = torch.arange(-20.0, 62.0, 0.05)
    expected: dict[str, list[float]] = {"DC": [], "J": []}
    for shift in shifts:
        target = (line**2 + (line**2)[:, None] <= 12**2)[None]
        predicted = ((line - shift) ** 2 + (line**2)[:, None] <= radius**2)[None]
        expected["DC"].append(segloss_core.dice_score(predicted, target).item())
        expected["J"].append(segloss_core.jaccard_index(predicted, target).item())
    for name, values in expected.items():
        drawn = curve(script, "overlap", 1, name, shifts, {"ρ": radius})
        assert drawn == pytest.approx(values, abs=2e-3)


@pytest.mark.parametrize(("false_alarm", "p"), [(0, 0.3), (40, 0.01), (200, 0.9)])
def test_dice_of_an_object_under_a_false_alarm(script: Page, false_alarm: int, p: float) -> None:
    sizes, pixels = [1, 30, 400], 64 * 64
    expected: dict[str, list[float]] = {"loss": [], "Dice": [], "CE": []}
    for n in sizes:
        target = (torch.arange(pixels) < n)[None].double()
        z = torch.full((1, pixels), -60.0, dtype=torch.float64)
        z[0, n : n + false_alarm] = 60.0
        z[0, :n] = math.log(p / (1 - p))
        z.requires_grad_()
        expected["loss"].append(segloss_core.dice_loss(z, target).item())
        for name, loss in (("Dice", "dice_loss"), ("CE", "cross_entropy_loss")):
            [slopes] = torch.autograd.grad(getattr(segloss_core, loss)(z, target), z)
            expected[name].append(math.log10(pixels * slopes[0, 0].abs().item()))
    setting = {"FP": false_alarm, "p̂": p}
    assert curve(script, "dice", 0, "Dice", sizes, setting) == pytest.approx(expected["loss"])
    for name in ("Dice", "CE"):
        assert curve(script, "dice", 1, name, sizes, setting) == pytest.approx(expected[name])


@pytest.mark.parametrize(("w0", "sigma"), [(10.0, 5.0), (3.0, 12.0)])
def test_weight_between_two_cells(script: Page, w0: float, sigma: float) -> None:
    """Between two cells in a row, d1 + d2 is the width of the gap plus one."""
    for gap in (1, 4, 9):
        row = torch.zeros(1, 1, gap + 2, dtype=torch.long)
        row[..., 0], row[..., -1] = 1, 2
        expected = segloss_core.unet_weight_map(row, w0=w0, sigma=sigma)[0, 0, 1].item()
        [drawn] = curve(script, "distance", 0, "w", [gap + 1], {"w₀": w0, "σ₀": sigma})
        assert math.isclose(drawn, expected, rel_tol=1e-6)


@pytest.mark.parametrize("m1", [0.0, 0.2, 0.55, 1.0])
def test_surfaces_over_two_errors(script: Page, m1: float) -> None:
    """One pixel of foreground and one of background; where the errors are equal there is a fold."""
    m2 = torch.tensor([0.0, 0.1, 0.35, 0.6, 0.95, 1.0], dtype=torch.float64)
    p = torch.stack([torch.full_like(m2, 1 - m1), m2], dim=1).requires_grad_()
    target = torch.tensor([[1, 0]]).expand_as(p)
    each = {"from_logits": False, "per_image": True, "reduction": "none"}
    jaccard = segloss_core.jaccard_loss(p, target, **each).flatten()
    lovasz = segloss_core.lovasz_softmax_loss(
        torch.stack([1 - p, p], dim=1), target, classes=[1], **each
    ).flatten()
    [slopes] = torch.autograd.grad(lovasz.sum(), p)
    for k, error in enumerate(m2.tolist()):
        said = script.evaluate(
            "(setting) => window.sliderFigures.lovasz.reading(setting)", {"m₁": m1, "m₂": error}
        )
        by_error = [-slopes[k, 0].item(), slopes[k, 1].item()]
        assert [said["Δ̄"], said["1 − J"]] == pytest.approx([lovasz[k].item(), jaccard[k].item()])
        if error != m1:
            assert [said["∂Δ̄/∂m₁"], said["∂Δ̄/∂m₂"]] == pytest.approx(by_error)


@pytest.mark.parametrize("length", [16, 24, 60])
def test_a_bar_whose_end_moves(script: Page, length: int) -> None:
    place = torch.arange(80)[None]
    bar = (place >= 4) & (place < 4 + length)
    shifts = [-8, -3, -1, 0, 1, 5, 8]
    expected: dict[str, list[float]] = {"Dice": [], "edge": [], "kervadec": []}
    for n in shifts:
        moved = ((place >= 4) & (place < 4 + length + n)).double()
        expected["Dice"].append(segloss_core.dice_loss(moved, bar, from_logits=False).item())
        for convention in ("edge", "kervadec"):
            phi = segloss_core.signed_distance(bar, convention=convention)
            expected[convention].append((phi * (moved - bar.double())).sum().item())
    for name, values in expected.items():
        panel = 1 if name == "Dice" else 2
        drawn = curve(script, "boundary", panel, name, shifts, {"|Y|": length})
        assert drawn == pytest.approx(values, abs=1e-5)


@pytest.mark.parametrize(("first", "gamma"), [(0.9, 0.75), (0.3, 2.0), (0.6, 1.0)])
def test_what_a_transform_mixes(script: Page, first: float, gamma: float) -> None:
    """A class whose one pixel is foreground, predicted with p, has the score 2p / (1 + p)."""
    seconds = [0.05, 0.3, 0.6, 0.95]
    transforms = {"−log S": "log", "(1 − S)ᵞ": lambda score: (1 - score) ** gamma}
    for name, transform in transforms.items():
        expected: dict[str, list[float]] = {"loss": [], "share": []}
        for second in seconds:
            scores = torch.tensor([first, second], dtype=torch.float64)
            p = (scores / (2 - scores)).view(1, 2, 1).requires_grad_()
            losses = segloss_core.dice_loss(
                p,
                torch.ones(1, 2, 1),
                mode="multilabel",
                transform=transform,
                from_logits=False,
                reduction="none",
            )
            [slopes] = torch.autograd.grad(losses.sum(), p)
            by_score = slopes.flatten() * (1 + p.detach().flatten()) ** 2 / 2
            expected["loss"].append(losses[1].item())
            expected["share"].append((by_score[1] / by_score.sum()).item())
        setting = {"S₁": first, "γ": gamma}
        for panel, values in enumerate(expected.values()):
            drawn = curve(script, "map", panel, name, seconds, setting)
            assert drawn == pytest.approx(values, rel=1e-6)
