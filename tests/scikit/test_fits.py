"""Random fits of every estimator: values are scikit-learn's, and closed forms are autodiff's and differences'."""

import functools
import importlib

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings
from support import fits
from support.blobs import assert_any_fit

from pcacam_jax import InputError, from_sklearn
from pcacam_jax.scikit import ENTRIES, outputs_of
from pcacam_jax.scikit.registry import last_step

importlib.import_module("support.fits_kernels")
EXAMPLES = 3
SEEDS = range(3)
drawn = functools.cache(fits.drawn)
KNOWN = {entry.kind.__name__: entry for entry in ENTRIES.values()}


@pytest.mark.parametrize("name", fits.FITS)
@settings(max_examples=EXAMPLES)
@given(seed=st.integers(0, 2**32 - 1))
def test_every_output_is_scikit_learns_and_has_its_closed_form(name, seed):
    # scikit-learn takes the logarithm of a probability that is too small for a number.
    with np.errstate(divide="ignore"):
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
