import os
import shutil
import tempfile

import hypothesis
import jax
import pytest
from support.compilation import fast_compilation
from support.sample_run import sample_run
from support.small_runs import fitted, run_folder, small_cache, small_params, small_world

# The same examples in every run, so that failures are reproducible; experiments/estimators.py draws many more.
hypothesis.settings.register_profile("repeatable", derandomize=True, deadline=None)
hypothesis.settings.load_profile("repeatable")

__all__ = ["fitted", "run_folder", "sample_run", "small_cache", "small_params", "small_world"]


COMPILATION_CACHE = {
    "jax_persistent_cache_min_compile_time_secs": 0.0,
    "jax_persistent_cache_min_entry_size_bytes": -1,
}
"""Every compiled function is worth sharing: compilation takes most of the time of these tests."""


def is_default(config):
    """Return whether these are the default tests, which compile with FAST_COMPILATION."""
    return config.option.markexpr == "not exhaustive" and not config.option.usual_compilation


def pytest_addoption(parser):
    """Add the option with which all tests compile as users do."""
    parser.addoption("--usual-compilation", action="store_true", help="compile with all optimizations")


def pytest_configure(config):
    """Share a folder, and in it what XLA compiles, between the workers, the test files and the processes they start.

    The folder is removed after the session. JAX_COMPILATION_CACHE_DIR names another place for compiled functions.
    """
    if "PCACAM_TEST_SESSION" not in os.environ:
        config.session_folder = tempfile.mkdtemp(prefix="pcacam_tests_")
        os.environ["PCACAM_TEST_SESSION"] = config.session_folder
        if is_default(config):
            os.environ.setdefault("XLA_FLAGS", fast_compilation())
    os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", os.path.join(os.environ["PCACAM_TEST_SESSION"], "compiled"))
    jax.config.update("jax_compilation_cache_dir", os.environ["JAX_COMPILATION_CACHE_DIR"])
    for name, value in COMPILATION_CACHE.items():
        os.environ[name.upper()] = str(value)
        jax.config.update(name, value)


def pytest_unconfigure(config):
    """Remove the folder of this session."""
    if hasattr(config, "session_folder"):
        shutil.rmtree(config.session_folder, ignore_errors=True)


LONG = ("test_notebooks.py", "test_reproduce.py", "test_values_of_any_kind.py")
"""Files that take minutes and start first, so that no worker is left alone with them at the end."""


def pytest_collection_modifyitems(items):
    """Put the tests of these files first."""
    items.sort(key=lambda item: item.path.name not in LONG)


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


COMPUTING = ("cli", "fitting", "nets", "reports", "reproduce", "runs")
"""Folders whose tests spend their time in computations; the other tests spend it in compilation."""
COMPILING = ("cam", "head", "metrics", "scikit", "stages")
"""Folders whose exhaustive tests compile with few optimizations, too; the others compile as users do."""


@pytest.fixture(scope="module", autouse=True)
def _compilations(request):
    """Compile with few optimizations where that is faster, and release compiled functions after every file.

    They occupy memory maps, whose number is limited per process (vm.max_map_count).
    """
    folder, usual = request.path.parent.name, request.config.option.usual_compilation
    few = folder not in COMPUTING if is_default(request.config) else folder in COMPILING and not usual
    jax.config.update("jax_disable_most_optimizations", few)
    yield
    jax.config.update("jax_disable_most_optimizations", False)
    jax.clear_caches()
