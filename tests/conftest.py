import hypothesis
import jax
import pytest
from support.small_runs import fitted, run_folder, small_cache, small_params, small_world

# The same draws every time, so that a run can be repeated; experiments/estimators.py draws many more.
hypothesis.settings.register_profile("repeatable", derandomize=True, deadline=None)
hypothesis.settings.load_profile("repeatable")

__all__ = ["fitted", "run_folder", "small_cache", "small_params", "small_world"]


@pytest.fixture
def x64():
    """Compute in float64 for one test."""
    with jax.enable_x64(True):
        yield


@pytest.fixture(params=["float32", "float64"])
def dtype(request):
    """Run a test in both dtypes, float64 with x64 switched on."""
    with jax.enable_x64(request.param == "float64"):
        yield request.param


@pytest.fixture(scope="module", autouse=True)
def _forgotten_compilations():
    """Compiled functions are kept in pieces of memory, of which a process may have only so many (vm.max_map_count)."""
    yield
    jax.clear_caches()
