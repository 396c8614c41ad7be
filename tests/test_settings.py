"""The main job gives the same bits whatever is set globally in JAX, NumPy, scikit-learn and the environment."""

import contextlib
import functools
import json
import os
import subprocess
import sys
import warnings
from pathlib import Path

import jax
import numpy as np
import pytest
import sklearn
from support import main_job

pytestmark = pytest.mark.exhaustive


@functools.cache
def plain():
    return main_job.digests()


@contextlib.contextmanager
def warnings_as_errors():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


SETTINGS = {
    "errors": [
        lambda: jax.numpy_dtype_promotion("strict"),
        lambda: jax.numpy_rank_promotion("raise"),
        lambda: jax.debug_nans(True),
        lambda: np.errstate(all="raise"),
        warnings_as_errors,
    ],
    "tracer leaks": [jax.checking_leaks],
    "matmul precision": [lambda: jax.default_matmul_precision("bfloat16")],
    "x64": [lambda: jax.enable_x64(True)],
    "scikit-learn": [lambda: sklearn.config_context(assume_finite=True, enable_metadata_routing=True)],
}


@pytest.mark.parametrize("name", SETTINGS)
def test_settings_change_no_bit(name):
    expected = dict(plain())
    with contextlib.ExitStack() as stack:
        for setting in SETTINGS[name]:
            stack.enter_context(setting())
        digests = main_job.digests()
    if name == "x64":  # indices are then int64
        for key in ("explain columns", "evidence indices"):
            assert digests.pop(key) != expected.pop(key)
    assert digests == expected


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_tables_as_output_of_scikit_learn_change_no_bit(library):
    pytest.importorskip(library)
    with sklearn.config_context(transform_output=library):
        assert main_job.digests() == plain()


C_LOCALE = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
ENVIRONMENTS = {
    "C locale, no home, assertions removed": {**C_LOCALE, "HOME": None, "PYTHONOPTIMIZE": "2"},
    "home that is no folder, array API": {"HOME": "/dev/null", "SCIPY_ARRAY_API": "1"},
    "float64 by default": {"JAX_ENABLE_X64": "1"},
}


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_an_environment_changes_no_bit(name, tmp_path):
    changed = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), **ENVIRONMENTS[name]}
    environment = {key: value for key, value in changed.items() if value is not None}
    command = [sys.executable, "-m", "support.main_job"]
    process = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True)
    assert process.returncode == 0, process.stderr
    digests, expected = json.loads(process.stdout), dict(plain())
    if name == "float64 by default":
        for key in ("explain columns", "evidence indices"):
            assert digests.pop(key) != expected.pop(key)
    assert digests == expected
    assert list(Path(tmp_path).iterdir()) == []


def test_a_device_that_does_not_exist_gives_one_sentence(tmp_path):
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "JAX_PLATFORMS": "cuda"}
    command = [sys.executable, "-m", "support.main_job"]
    process = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True)
    assert process.returncode == 1
    assert "InputError: JAX must have a device of the platforms 'cuda'" in process.stderr
