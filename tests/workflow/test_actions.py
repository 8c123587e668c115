"""The workflows call targets that exist, and have what the page of features says of them."""

import re
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))
TARGETS = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.M))


def steps(path: Path) -> list[dict]:
    jobs = yaml.safe_load(path.read_text())["jobs"].values()
    return [step for job in jobs for step in job["steps"]]


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_every_target_that_is_made_exists(path):
    commands = "\n".join(step.get("run", "") for step in steps(path))
    called = re.findall(r"^\s*make ([a-z ]+)", commands, re.M)
    assert {target for line in called for target in line.split()} <= TARGETS


def test_what_the_page_of_features_says():
    assert {"text", "print", "look"} <= TARGETS
    weekly, release = (ROOT / ".github/workflows" / name for name in ("weekly.yml", "release.yml"))
    assert yaml.safe_load(weekly.read_text())[True]["schedule"]
    assert sum("gh issue create" in step.get("run", "") for step in steps(weekly)) == 2
    packed = "\n".join(step.get("run", "") for step in steps(release))
    assert "manifest.txt" in packed
    assert "SHA256SUMS" in packed
