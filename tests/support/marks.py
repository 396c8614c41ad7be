"""Marks of parametrised cases."""

import functools

import pytest

more = functools.partial(pytest.param, marks=pytest.mark.exhaustive)
"""A case of the exhaustive tests only."""
