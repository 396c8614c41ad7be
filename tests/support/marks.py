"""Marks of parametrised cases, and a fixture with such cases."""

import functools

import jax
import pytest

more = functools.partial(pytest.param, marks=pytest.mark.exhaustive)
"""A case of the exhaustive tests only."""


@pytest.fixture(name="dtype", params=[more("float32"), "float64"])
def float64_by_default(request):
    """Run a test in float64, and in the exhaustive tests in float32, too; a module that holds this uses it."""
    with jax.enable_x64(request.param == "float64"):
        yield request.param
