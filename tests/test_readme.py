"""What the READMEs say is so: the code runs, links lead somewhere, tables are whole."""

import re
import subprocess
import sys
from pathlib import Path

import matplotlib
import numpy as np
import pytest
import tomllib
from matplotlib.image import imread

import segloss_core as core

ROOT = Path(__file__).parents[1]
READMES = {
    name: (ROOT / name).read_text(encoding="utf-8") for name in ("README.md", "README.ko.md")
}
PAGES = {**READMES, "CONTRIBUTING.md": (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")}


@pytest.fixture(params=READMES)
def readme(request: pytest.FixtureRequest) -> str:
    return READMES[request.param]


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


def rows(text: str) -> list[list[str]]:
    """The rows of all tables, as cells."""
    lines = [line.strip("|") for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.split("|")] for line in lines]


def test_the_code_runs_away_from_the_sources(readme: str, tmp_path: Path) -> None:
    code = "\n".join(blocks(readme, "python"))
    assert "segloss_core" in code
    subprocess.run([sys.executable, "-W", "error", "-c", code], cwd=tmp_path, check=True)


def test_both_languages_show_the_same_code() -> None:
    codes = ["\n".join(blocks(readme, r"\w+")) for readme in READMES.values()]
    korean, english = (re.sub(r" *#.*", "", code) for code in codes)
    assert korean == english


def test_both_languages_have_the_same_tables() -> None:
    """All but the words: names, formulas, links, the other packages' traps."""
    languages = []
    for readme in READMES.values():
        kept = [re.findall(r"`[^`]*`|\$[^$]*\$|\]\([^)]*\)", " ".join(row)) for row in rows(readme)]
        languages.append(kept)
    assert languages[0] == languages[1]


@pytest.mark.parametrize("name", PAGES)
def test_links_lead_to_files(name: str) -> None:
    links = re.findall(r"\]\(([^)#]+)\)", PAGES[name])
    assert links
    missing = {link for link in links if "://" not in link and not (ROOT / link).exists()}
    assert missing == set()


@pytest.mark.parametrize("name", PAGES)
def test_the_commands_exist(name: str) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    told = set(re.findall(r"(?:^|`)make ([a-z-]+)", PAGES[name], re.MULTILINE))
    assert told
    assert told <= targets


def test_every_loss_has_its_row(readme: str) -> None:
    listed = {cell.strip("`") for cell, *_ in rows(readme)}
    losses = {name for name in core.__all__ if name.endswith("Loss")} - {"CombinedLoss"}
    assert losses <= listed
    assert [name for name in core.__all__ if name not in readme and name[0].isupper()] == []


def test_what_is_said_of_other_packages_is_asserted(readme: str) -> None:
    """Every trap in the table is a test, and every package has the version it was tested with."""
    peers = (ROOT / "tests" / "core" / "test_peers.py").read_text(encoding="utf-8")
    traps = {trap for row in rows(readme) for trap in re.findall(r"`([a-h]\d+)`", row[-1])}
    assert len(traps) >= 12
    assert [trap for trap in traps if f"def test_trap_{trap}_" not in peers] == []
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    pinned = dict(name.split("==") for name in project["dependency-groups"]["peers"])
    for package in ("kornia", "monai", "segmentation_models_pytorch", "torchmetrics"):
        version = pinned[package]
        assert re.search(rf"{package}\]\([^)]*\)\s{re.escape(version)}\D", readme, re.I), package


@pytest.fixture
def picture(monkeypatch: pytest.MonkeyPatch):
    """The script that draws the picture, as a module."""
    matplotlib.use("agg")
    monkeypatch.syspath_prepend(ROOT / "examples")
    monkeypatch.syspath_prepend(ROOT / "book")
    import readme_picture

    with matplotlib.rc_context():
        yield readme_picture


def test_the_picture_is_what_its_script_draws(picture, readme: str, tmp_path: Path) -> None:
    assert picture.PICTURE.relative_to(ROOT).as_posix() in readme
    picture.draw().savefig(tmp_path / "picture.png", dpi=100)
    drawn, stored = imread(tmp_path / "picture.png"), imread(picture.PICTURE)
    assert drawn.shape == stored.shape
    assert np.abs(drawn - stored).mean() < 1e-3


def test_the_caption_reads_the_picture_rightly(picture) -> None:
    toy = picture.samples.toy()
    row, column = np.ogrid[:64, :64]
    places = {
        "false alarm": (row - 14) ** 2 + (column - 48) ** 2 <= 25,
        "cross": toy.instances[0].numpy() == 4,
        "gap": (abs(row - 20) <= 2) & (column == 21),
    }
    maps = picture.gradients(toy)
    pull = {}
    for loss, gradient in maps.items():
        size = gradient[0].abs().numpy()
        pull[loss] = {place: size[at].max() / size.max() for place, at in places.items()}
    for loss in ("cross entropy", "focal, γ = 2", "Lovász hinge"):
        assert pull[loss]["cross"] == pytest.approx(pull[loss]["false alarm"], rel=0.15)
    assert pull["weighted, β = 10"]["false alarm"] < 0.1
    assert pull["distance-weighted"]["gap"] == 1
    for loss in ("Dice", "Tversky, β = 0.9"):
        assert pull[loss]["cross"] < 0.1
