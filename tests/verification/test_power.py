"""The certificate passes every correct head, however extreme its settings, and fails every wrong formula."""

import functools

import numpy as np
import pytest
from support.random_heads import random_head

import pcacam_jax
from pcacam_jax import Chain, Dense, Flatten, HybridHead, KernelExpansion
from pcacam_jax.stages import KERNELS
from pcacam_jax.stages.kernel import rbf
from pcacam_jax.verification.cases import Draw

verify = functools.partial(pcacam_jax.verify, curvature=False)


@pytest.mark.parametrize("seed", [1, pytest.param(range(2, 6), marks=pytest.mark.exhaustive, id="2-5")])
def test_no_correct_head_fails(seed):
    for number in np.atleast_1d(seed):
        head, maps, settings = random_head(int(number))
        certificate = pcacam_jax.verify(head, maps)
        assert certificate.passed, (settings, certificate.failures())


def test_float32_rounding_of_a_narrow_kernel_is_no_failure():
    """In float32 the closed form is off by 1e-4 here, as is reverse mode; the differences are computed in float64."""
    rng = np.random.default_rng(5)
    support = (300 + rng.normal(size=(40, 5))).astype(np.float32)
    svm = KernelExpansion(support, rng.normal(size=(3, 40)), np.zeros(3), {"gamma": np.float64(50)}, "rbf")
    layer = Dense(10 * rng.normal(size=(8, 5)) / np.sqrt(8), 300 + rng.normal(size=5))
    x = np.linalg.lstsq(np.asarray(layer.kernel).T, support[0] - np.asarray(layer.bias) + 0.03, rcond=None)[0]
    certificate = verify(Chain((layer, svm)), x)
    assert certificate.passed, certificate.failures()
    (row,) = [row for row in certificate.comparisons if (row.dtype, row.witness) == ("float32", "finite_difference")]
    assert 2e-5 < row.error < row.tolerance < 0.1


# --- wrong formulas ---------------------------------------------------------------------------------------------------


def patch_rbf(gradient):
    return lambda patch: patch.setitem(KERNELS, "rbf", KERNELS["rbf"]._replace(gradient=gradient))


def patch_pull_back(pull_back):
    def apply(patch):
        correct = Dense.pull_back
        patch.setattr(Dense, "pull_back", lambda self, slope, rows: pull_back(self, slope, rows, correct))

    return apply


def transposed(layer, slope, rows, correct):
    square = layer.kernel.shape[0] == layer.kernel.shape[1]
    return (rows * slope[None]) @ layer.kernel if square else correct(layer, slope, rows)


def scaled(index):
    """Return a patch that multiplies a part of the Jacobians by 1.001."""

    def apply(patch):
        for kind in (Chain, HybridHead):
            correct = kind.jacobian

            def wrong(self, saved, correct=correct):
                result = correct(self, saved)
                if isinstance(result, dict):
                    return {output: rows.at[index].multiply(1.001) for output, rows in result.items()}
                return result.at[index].multiply(1.001)

            patch.setattr(kind, "jacobian", wrong)

    return apply


WRONG = {
    "sign": patch_rbf(lambda s, v, gamma: -rbf(s, v, gamma) * 2 * gamma * (s - v)),
    "sign of one component": patch_rbf(lambda s, v, gamma: rbf(s, v, gamma) * 2 * gamma * (s - v).at[0].multiply(-1)),
    "factor 2 on one term": patch_rbf(lambda s, v, gamma: rbf(s, v, gamma) * 2 * gamma * (2 * s - v)),
    "factor 1.001": patch_rbf(lambda s, v, gamma: rbf(s, v, gamma) * 2.002 * gamma * (s - v)),
    "dropped gamma": patch_rbf(lambda s, v, gamma: rbf(s, v, gamma) * 2 * (s - v)),
    "missing slope": patch_pull_back(lambda layer, slope, rows, correct: rows @ layer.kernel.T),
    "transposed kernel": patch_pull_back(transposed),
    "one row": scaled((0,)),
    "one column": scaled((..., 0, 1, 2)),
    "one entry": scaled((0, 0, 1, 2)),
}


@pytest.mark.parametrize("name", WRONG)
def test_every_reference_method_detects_a_wrong_formula(name, monkeypatch):
    draw = Draw(np.random.default_rng(2))
    first, second, _ = (Dense(*layer, "sigmoid") for layer in draw.layers(48, 7, 7, 1))
    chain = Chain((Flatten((4, 4, 3)), first, second, draw.pca(7, 3), draw.expansion(3, 2, 15, "rbf")))
    WRONG[name](monkeypatch)
    certificate = verify(chain, draw.maps(4, 4, 3), dtypes=["float64"])
    assert [row.witness for row in certificate.comparisons if row.passed] == [], name


@pytest.mark.exhaustive
@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_formula_of_a_large_head_is_detected(name, monkeypatch):
    """Reverse mode detects all, and the 192 random directions all errors above their tolerance."""
    draw = Draw(np.random.default_rng(2))
    head = draw.head((14, 14, 512), (40, 40, 20, 10), "sigmoid", support=200, pool=True)
    maps = draw.maps(14, 14, 512)
    maps[0, 1, 2] = 10  # the maximum of its window, so that the changed entry and column are not zero
    WRONG[name](monkeypatch)
    rows = [row for row in verify(head, maps, dtypes=["float64"]).comparisons if row.name == "stage: svm_rbf"]
    errors = {row.witness: row.error for row in rows}
    assert errors["reverse"] > 1e-8
    for row in rows:
        assert row.passed == (errors["reverse"] < row.tolerance)
        assert row.error == pytest.approx(errors["reverse"], rel=0.3, abs=1e-9)
