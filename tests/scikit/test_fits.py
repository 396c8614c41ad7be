"""Random fits of every estimator: values equal scikit-learn, closed forms equal autodiff and central differences."""

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
from pcacam_jax.scikit.steps import last_step

importlib.import_module("support.fits_kernels")
EXAMPLES = 2
SEEDS = range(3)
drawn = functools.cache(fits.drawn)
ENTRY_OF = {entry.kind.__name__: entry for entry in ENTRIES.values()}


@pytest.mark.parametrize("name", fits.FITS)
@settings(max_examples=1)
@given(seed=st.integers(0, 2**32 - 1))
def test_every_output_equals_scikit_learn_and_every_derivative_autodiff(name, seed):
    with np.errstate(divide="ignore"):
        assert_any_fit(name, seed)


@pytest.mark.exhaustive
@pytest.mark.parametrize("name", fits.FITS)
@settings(max_examples=EXAMPLES)
@given(seed=st.integers(0, 2**32 - 1))
def test_more_fits_equal_scikit_learn_and_autodiff(name, seed):
    # scikit-learn takes the logarithm of probabilities that underflow to zero.
    with np.errstate(divide="ignore"):
        assert_any_fit(name, seed)


@pytest.mark.exhaustive
@pytest.mark.parametrize("name", fits.FITS)
def test_outputs_are_listed_in_the_registry(name):
    for seed in SEEDS:
        estimator, _ = drawn(name, seed)
        entry = ENTRY_OF[type(last_step(estimator)).__name__]
        assert set(outputs_of(estimator)) <= set(entry.spaces)
        assert outputs_of(estimator)[0] in entry.spaces


def test_every_estimator_of_the_registry_has_fits():
    assert {type(fits.FITS[name](fits.Draw(0))[0]).__name__ for name in fits.FITS} == set(ENTRY_OF)


def test_equal_seeds_give_equal_fits():
    first, second = fits.drawn("PCA", 5), fits.drawn("PCA", 5)
    np.testing.assert_array_equal(first[1], second[1])
    assert first[0].get_params() == second[0].get_params()


@pytest.mark.parametrize("name", fits.FITS)
def test_the_error_about_an_unknown_output_lists_the_outputs(name):
    estimator, _ = drawn(name, 0)
    with pytest.raises(InputError, match=rf"must be one of {', '.join(outputs_of(estimator))}; got 'votes'"):
        from_sklearn(estimator, output="votes")
