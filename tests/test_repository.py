"""The files that publish the project: valid, pinned, and of one mind about its version."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import tomllib
import yaml

import segloss_core

ROOT = Path(__file__).parents[1]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))


@pytest.fixture(params=WORKFLOWS, ids=lambda path: path.stem)
def workflow(request: pytest.FixtureRequest) -> dict:
    return yaml.safe_load(request.param.read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    ("schema", "files"),
    [("github-workflows", WORKFLOWS), ("citation-file-format", [ROOT / "CITATION.cff"])],
)
def test_it_follows_its_schema(schema: str, files: list[Path]) -> None:
    checker = Path(sys.executable).with_name("check-jsonschema")
    command = [checker, "--builtin-schema", f"vendor.{schema}", *files]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_actions_are_pinned_by_major_version(workflow: dict) -> None:
    used = [
        step["uses"] for job in workflow["jobs"].values() for step in job["steps"] if "uses" in step
    ]
    assert used
    assert [name for name in used if not re.search(r"@(v\d+|release/v\d+)$", name)] == []


def test_permissions_are_named_and_small(workflow: dict) -> None:
    granted = [workflow["permissions"]]
    granted += [job["permissions"] for job in workflow["jobs"].values() if "permissions" in job]
    may_write = {key for scope in granted for key, level in scope.items() if level == "write"}
    assert may_write <= {"contents", "id-token"}
    if "pull_request" in workflow[True]:  # YAML takes the key `on` for a truth value
        assert not may_write, "a stranger's pull request runs this"


def test_the_workflows_run_on_the_versions_that_the_package_names() -> None:
    tests = yaml.safe_load((ROOT / ".github" / "workflows" / "tests.yml").read_text())
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    oldest, *_ = tests["jobs"]["core"]["strategy"]["matrix"]["include"]
    assert project["requires-python"] == f">={oldest['python']}"
    assert project["dependencies"] == [f"torch>={oldest['torch'].rpartition('.')[0]}"]


def test_one_version() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["version"] == segloss_core.__version__
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert re.search(rf"^## (Unreleased|{re.escape(segloss_core.__version__)}\b)", changelog, re.M)


def test_one_licence() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert (ROOT / "LICENSE").read_text(encoding="utf-8").startswith("MIT License")
    assert citation["license"] == project["license"] == "MIT"
