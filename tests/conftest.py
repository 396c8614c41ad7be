import os
import shutil
import tempfile

import hypothesis
import jax
import pytest
from support.small_runs import fitted, run_folder, small_cache, small_params, small_world

# The same examples in every run, so that failures are reproducible; experiments/estimators.py draws many more.
hypothesis.settings.register_profile("repeatable", derandomize=True, deadline=None)
hypothesis.settings.load_profile("repeatable")

__all__ = ["fitted", "run_folder", "small_cache", "small_params", "small_world"]


COMPILED = {
    "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
}
"""Every compiled function is worth sharing: most of the time of these tests is compilation."""


def pytest_configure(config):
    """Share what XLA compiles between the workers, the test files and the processes that tests start.

    The folder lives as long as the session, unless JAX_COMPILATION_CACHE_DIR names one.
    """
    if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
        config.compilation_cache = tempfile.mkdtemp(prefix="pcacam_compiled_")
        os.environ["JAX_COMPILATION_CACHE_DIR"] = config.compilation_cache
    os.environ.update(COMPILED)
    jax.config.update("jax_compilation_cache_dir", os.environ["JAX_COMPILATION_CACHE_DIR"])
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)


def pytest_unconfigure(config):
    """Remove the folder of this session."""
    if hasattr(config, "compilation_cache"):
        shutil.rmtree(config.compilation_cache, ignore_errors=True)
        del os.environ["JAX_COMPILATION_CACHE_DIR"]


@pytest.fixture
def x64():
    """Compute in float64 for one test."""
    with jax.enable_x64(True):
        yield


@pytest.fixture(params=["float32", "float64"])
def dtype(request):
    """Run a test in both dtypes, float64 with x64 enabled."""
    with jax.enable_x64(request.param == "float64"):
        yield request.param


@pytest.fixture(scope="module", autouse=True)
def _clear_compilations():
    """Release compiled functions; they occupy memory maps, whose number is limited per process (vm.max_map_count)."""
    yield
    jax.clear_caches()
