"""Notebooks run from top to bottom, and each rendered .ipynb holds the cells of its script and its outputs."""

from pathlib import Path

import jupytext
import nbformat
import pytest
from nbconvert.preprocessors import ExecutePreprocessor
from support.compilation import fast_compilation

FOLDER = Path(__file__).parents[1] / "notebooks"
SCRIPTS = sorted(FOLDER.glob("*.py"))


@pytest.mark.exhaustive
@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.stem)
@pytest.mark.filterwarnings("default")
def test_script_runs(script, sample_run, monkeypatch):
    monkeypatch.setenv("PCACAM_CACHE", str(sample_run.cache))
    monkeypatch.setenv("XLA_FLAGS", fast_compilation())  # compilation takes most of the time of a notebook
    notebook = jupytext.read(script)
    ExecutePreprocessor(timeout=900, kernel_name="python3").preprocess(notebook, {"metadata": {"path": str(FOLDER)}})


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.stem)
def test_rendered_notebook_is_of_this_script(script):
    rendered = nbformat.read(script.with_suffix(".ipynb"), as_version=4)
    own = jupytext.read(script)
    assert [(c.cell_type, c.source) for c in rendered.cells] == [(c.cell_type, c.source) for c in own.cells]
    code = [cell for cell in rendered.cells if cell.cell_type == "code"]
    assert any(cell.outputs for cell in code)
    assert not [out for cell in code for out in cell.get("outputs", []) if out.output_type == "error"]
