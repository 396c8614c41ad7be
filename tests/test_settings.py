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
    "strict promotion": lambda: jax.numpy_dtype_promotion("strict"),
    "rank promotion": lambda: jax.numpy_rank_promotion("raise"),
    "debug nans": lambda: jax.debug_nans(True),
    "matmul precision": lambda: jax.default_matmul_precision("bfloat16"),
    "tracer leaks": jax.checking_leaks,
    "x64": lambda: jax.enable_x64(True),
    "NumPy errors": lambda: np.errstate(all="raise"),
    "warnings": warnings_as_errors,
    "finite assumed": lambda: sklearn.config_context(assume_finite=True),
    "metadata routing": lambda: sklearn.config_context(enable_metadata_routing=True),
}


@pytest.mark.parametrize("name", SETTINGS)
def test_a_setting_changes_no_bit(name):
    expected = dict(plain())
    with SETTINGS[name]():
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


ENVIRONMENTS = {
    "C locale": {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    "no home": {"HOME": None},
    "home that is no folder": {"HOME": "/dev/null"},
    "float64 by default": {"JAX_ENABLE_X64": "1"},
    "assertions removed": {"PYTHONOPTIMIZE": "2"},
    "array API": {"SCIPY_ARRAY_API": "1"},
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
