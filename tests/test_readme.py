"""The README's Python runs as it stands, its links lead somewhere, and its commands are those of CI."""

import itertools
import re
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
PYTHON = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
SHELL = re.findall(r"```sh\n(.*?)```", README, re.DOTALL)


def block(start):
    """The one Python block of the README that begins so."""
    (found,) = [text for text in PYTHON if text.startswith(start)]
    return found


@pytest.fixture
def own_arrays():
    """What a reader of the README is said to have."""
    random = np.random.default_rng(0)
    maps = np.abs(random.normal(size=(40, 4, 4, 6))).astype("float32")
    sizes = (96, 8, 7, 5, 3)
    dense = [
        (random.normal(size=s).astype("float32") / 4, np.zeros(s[1], "float32")) for s in itertools.pairwise(sizes)
    ]
    image = random.integers(0, 256, (64, 64, 3), dtype=np.uint8)
    return {"maps": maps, "labels": random.integers(0, 3, 40), "dense": dense, "image": image}


def test_own_sklearn_example_runs(own_arrays, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for start in ("import numpy as np, pcacam_jax", "errors = pcacam"):
        exec(block(start), own_arrays)
    assert own_arrays["explanation"].positive.shape == (8, 5, 4, 4)
    assert (tmp_path / "explanation.png").stat().st_size > 10_000


def test_own_sklearn_example_is_ten_lines():
    lines = [line for line in PYTHON[0].splitlines() if line.strip()]
    assert len(lines) <= 10


def test_links_lead_to_files():
    links = re.findall(r"\]\(((?!http)[^)#]+)", README)
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []


def test_ci_runs_the_command_of_the_readme():
    script = (ROOT / ".ci" / "run").read_text()
    install, tests = next(block for block in SHELL if "pytest" in block).strip().rsplit(" && ", 1)
    assert install.replace("pip install", "pip install --quiet") in script
    assert tests in script.splitlines()
