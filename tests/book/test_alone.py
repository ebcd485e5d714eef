"""A downloaded notebook runs by itself, in a folder and an environment that know nothing of us."""

import os
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from book.editions import ROOT
from book.editions.alone import alone, imports, needs
from book.editions.config import NOTEBOOKS
from book.editions.edition import LANGUAGES, edition
from book.editions.execution import executed

RUN = """
import nbformat, sys
from nbclient import NotebookClient
notebook = nbformat.read(sys.argv[1], as_version=4)
NotebookClient(notebook, timeout=300).execute()
nbformat.write(notebook, sys.argv[1])
"""


@pytest.fixture(scope="session")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of a new environment: no package, no pip, and nothing of this repository."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, with_pip=False)
    return folder / "bin" / "python"


def run(
    python: Path, folder: Path, *command: str, packages: str = ""
) -> subprocess.CompletedProcess:
    """Run Python in an empty folder, with the installed ``packages`` but without their ``.pth``
    files: through one of those this repository is importable."""
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": packages, "OMP_NUM_THREADS": "1"}
    environment |= {"HOME": str(folder), "PYTHONWARNINGS": "ignore"}
    return subprocess.run(
        [python, *command], cwd=folder, env=environment, capture_output=True, text=True, timeout=300
    )


def outputs(notebook: nbformat.NotebookNode) -> list[str]:
    """The text that the code cells of a notebook print, without warnings, such as that Matplotlib
    is at home here for the first time."""
    return [
        "".join(o.get("text", "") for o in cell.outputs if o.get("name") != "stderr")
        for cell in notebook.cells
        if cell.cell_type == "code" and cell.id != "set-up"
    ]


@pytest.mark.parametrize(
    ("lang", "name"), [("ko", "07_overlap.ipynb"), ("en", "index.ipynb"), ("ko", "api.ipynb")]
)
def test_the_downloaded_notebook_runs_alone(
    site: Path, stranger: Path, tmp_path: Path, lang: str, name: str
) -> None:
    """As a reader has it: one file in an empty folder."""
    file = tmp_path / name
    file.write_bytes((site / lang / "_sources" / "book" / name).read_bytes())
    packages = sysconfig.get_path("purelib")
    hidden = run(stranger, tmp_path, "-c", "import segloss_core", packages=packages)
    assert "No module named 'segloss_core'" in hidden.stderr
    done = run(stranger, tmp_path, "-c", RUN, name, packages=packages)
    assert done.returncode == 0, done.stderr
    notebook = nbformat.read(file, as_version=4)
    assert outputs(notebook) == outputs(executed(ROOT / "book" / name))
    assert str(ROOT) not in nbformat.writes(notebook)


def test_the_setup_can_be_run_again(stranger: Path, tmp_path: Path) -> None:
    """It leaves one folder, laid out like the repository, whatever is called how often."""
    setup = alone(new_notebook(cells=[new_code_cell("from samples import DATA")])).cells[0].source
    packages = sysconfig.get_path("purelib")
    script = tmp_path / "twice.py"  # too long for a command line
    script.write_text(f"{setup}\n{setup}\nfrom samples import nuclei; print(nuclei().y.sum())\n")
    done = run(stranger, tmp_path, script.name, packages=packages)
    assert done.returncode == 0, done.stderr
    [folder] = tmp_path.glob("segloss-*")
    assert {path.name for path in folder.iterdir()} == {"LICENSE", "book"}


def test_what_cannot_be_installed_is_named(stranger: Path, tmp_path: Path) -> None:
    setup = alone(new_notebook(cells=[new_code_cell("import figures, torch")])).cells[0]
    done = run(stranger, tmp_path, "-c", setup.source)
    assert (
        "ModuleNotFoundError: this notebook needs ipython, pillow, matplotlib, numpy, torch, "
        in done.stderr
    )
    assert "    pip install ipython pillow matplotlib numpy torch" in done.stderr


def test_a_notebook_brings_what_its_code_stands_on(chapter: Path) -> None:
    notebook = nbformat.read(chapter, as_version=4)
    source = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "code")
    files, packages = needs(source)
    modules = [path for name in NOTEBOOKS["modules"] for path in (ROOT / name).glob("*.py")]
    here = {path.stem for path in modules} | {"segloss_core"}
    brought = {part.removesuffix(".py") for name in files for part in Path(name).parts}
    assert here & imports(source) <= brought
    assert not set(packages) & here
    for lang in LANGUAGES:
        [*setup] = [cell for cell in alone(edition(notebook, lang)).cells if cell.id == "set-up"]
        assert len(setup) == bool(files)
        # Four photographs are 200 kB of it, the core 60, the results of the experiment the rest.
        assert all(len(cell.source) < 350_000 for cell in setup), "keep downloads light"


def test_needs_follows_modules_packages_and_data() -> None:
    files, packages = needs("from samples import nuclei\nimport math, segloss_core.pixel")
    assert {"book/samples.py", "segloss_core/pixel.py", "book/data/ATTRIBUTION.md"} <= set(files)
    assert "book/data/nuclei/nuclei_10_image.png" in files
    assert "book/data/nuclei/nuclei_00_image.png" not in files, "samples.py does not read it"
    assert "book/figures.py" not in files
    folder, _ = needs('FOLDER = ROOT / "data" / "nuclei"')
    assert "book/data/nuclei/nuclei_00_image.png" in folder
    assert needs('kind = "nuclei"') == ({}, {})
    drawn, _ = needs('import evidence\nshow("nuclei", "focal")')
    assert {name for name in drawn if "data/evidence/" in name} == {
        f"book/data/evidence/nuclei.focal.{ending}" for ending in ("json", "png")
    }
    assert packages == {"matplotlib": "matplotlib", "numpy": "numpy", "torch": "torch"}


def test_prose_needs_no_setup_and_the_input_stays_as_it_is() -> None:
    prose = new_notebook(cells=[new_markdown_cell("words")])
    assert alone(prose) == prose
    code = new_notebook(cells=[new_code_cell("%matplotlib inline\nimport figures")])
    assert [cell.id for cell in alone(code).cells] == ["set-up", code.cells[0].id]
    assert len(code.cells) == 1


def test_the_same_modules_make_the_same_cell() -> None:
    notebook = new_notebook(cells=[new_code_cell("import figures")])
    assert alone(notebook).cells[0] == alone(notebook).cells[0]
    assert sys.executable not in alone(notebook).cells[0].source
