"""Random fits of every estimator: values are scikit-learn's, and closed forms are autodiff's and differences'."""

import functools
import importlib

import fits
import hypothesis.strategies as st
import numpy as np
import parities
import pytest
from blobs import assert_any_fit
from hypothesis import given, settings

from pcacam_jax import InputError, from_sklearn
from pcacam_jax.scikit import ENTRIES, outputs_of
from pcacam_jax.scikit.frozen import last_step

importlib.import_module("fits_kernels")
OWN = [name for name, fit in fits.FITS.items() if fit.__module__ == "fits"]
"""Those that hypothesis does not draw in the tests of their own rooms."""
SEEDS = range(3)
TOLERANCE = 1e-10
DIFFERENCE_TOLERANCE = 1e-6
drawn = functools.cache(fits.drawn)
KNOWN = {entry.kind.__name__: entry for entry in ENTRIES.values()}


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("name", fits.FITS)
def test_every_output_is_scikit_learns_and_has_its_closed_form(name):
    for seed in SEEDS:
        estimator, x = drawn(name, seed)
        for output in outputs_of(estimator):
            stage = from_sklearn(estimator, output=output)
            found = parities.errors(stage, estimator, output, x)
            assert found.own <= TOLERANCE, (seed, output)
            assert found.reverse <= TOLERANCE, (seed, output)
            assert found.differences <= DIFFERENCE_TOLERANCE, (seed, output)


@settings(max_examples=10)
@given(name=st.sampled_from(OWN), seed=st.integers(0, 2**32 - 1))
def test_any_fit_equals_scikit_learn(name, seed):
    assert_any_fit(name, seed)


@pytest.mark.parametrize("name", fits.FITS)
def test_outputs_are_those_of_the_table(name):
    for seed in SEEDS:
        estimator, _ = drawn(name, seed)
        entry = KNOWN[type(last_step(estimator)).__name__]
        assert set(outputs_of(estimator)) <= set(entry.spaces)
        assert outputs_of(estimator)[0] in entry.spaces


def test_every_estimator_of_the_table_has_fits():
    assert {type(fits.FITS[name](fits.Draw(0))[0]).__name__ for name in fits.FITS} == set(KNOWN)


def test_the_same_seed_draws_the_same():
    first, second = fits.drawn("PCA", 5), fits.drawn("PCA", 5)
    np.testing.assert_array_equal(first[1], second[1])
    assert first[0].get_params() == second[0].get_params()


@pytest.mark.parametrize("name", fits.FITS)
def test_an_output_that_is_not_there_gets_the_list_of_those_there_are(name):
    estimator, _ = drawn(name, 0)
    with pytest.raises(InputError, match=rf"must be one of {', '.join(outputs_of(estimator))}; got 'votes'"):
        from_sklearn(estimator, output="votes")
