"""What users read first: signatures and representations of the public objects are short."""

import inspect

import numpy as np
import pytest
from support import cases

import pcacam_jax
from pcacam_jax import plots
from pcacam_jax.core.brief import MOST_LINES

LONGEST = 60
"""Characters for each parameter; an expanded Union has hundreds."""
FUNCTIONS = [
    pytest.param(getattr(module, name), id=f"{module.__name__}.{name}")
    for module in (pcacam_jax, plots)
    for name in module.__all__
    if inspect.isfunction(getattr(module, name))
]


@pytest.mark.parametrize("function", FUNCTIONS)
def test_signatures_are_short(function):
    signature = str(inspect.signature(function))
    assert len(signature) <= LONGEST * (2 + len(inspect.signature(function).parameters))
    assert "_NestedSequence" not in signature
    assert "SupportsArray" not in signature


def test_representations_fit_one_screen():
    network = cases.network()
    explanation = pcacam_jax.explain(network.head, network.maps, ["pca", "svm_rbf:predicted"])
    parts = pcacam_jax.decompose(network.head, network.maps, "svm_rbf:predicted")
    terms = pcacam_jax.evidence(network.head, network.maps, "svm_rbf:predicted")
    certificate = pcacam_jax.Certificate(())
    side = plots.Side([np.zeros((9, 9, 3), np.uint8)] * 8, ["cat"] * 8, np.zeros(8), np.zeros((8, 3, 3)))
    for value in (explanation, parts, terms, certificate, network.head, network.head.pca, side):
        assert len(repr(value).splitlines()) <= MOST_LINES
        assert type(value).__name__ in repr(value)
    written = repr(explanation)
    assert "targets=('pca:0', 'pca:1', 'pca:2', 'svm_rbf:predicted')" in written
    assert "positive=float32[7, 4, 3, 4]" in written
    assert "vanished=bool[7, 4] with 0 true" in written
