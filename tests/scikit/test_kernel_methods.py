"""Kernel PCA, Nystroem and Gaussian process regression equal scikit-learn."""

import importlib
import warnings

import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from scipy.sparse import csr_matrix
from sklearn.decomposition import KernelPCA
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, Exponentiation, Matern, RationalQuadratic, WhiteKernel
from sklearn.kernel_approximation import Nystroem
from support import blobs
from support.blobs import assert_equals

from pcacam_jax import InputError, from_sklearn
from pcacam_jax.scikit import kernel_methods, outputs_of

importlib.import_module("support.fits_kernels")
KERNELS = ("linear", "rbf", "poly", "sigmoid", "cosine")
X, WHICH = blobs.blobs(3)
NEW = X[:20] + 0.3
every_kernel = pytest.mark.parametrize("kernel", KERNELS)


@pytest.mark.usefixtures("x64")
@every_kernel
@pytest.mark.parametrize("options", [{}, {"gamma": 0.15, "coef0": 0.4, "degree": 2}], ids=["plain", "chosen"])
def test_kernel_pca(kernel, options):
    estimator = KernelPCA(3, kernel=kernel, **options).fit(X + 1)
    assert outputs_of(estimator) == ("transform",)
    assert_equals(from_sklearn(estimator), NEW, estimator.transform(NEW))
    scores = np.asarray(blobs.values(from_sklearn(estimator), X + 1))
    np.testing.assert_allclose(scores.mean(axis=0), 0, atol=1e-10)


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("kernel", ["linear", "rbf", "poly", "cosine"])
def test_kernel_pca_with_all_components_and_with_sparse_data(kernel):
    sparse = csr_matrix(np.where(np.abs(X) < 0.5, 0, X))
    estimator = KernelPCA(3, kernel=kernel, eigen_solver="arpack", random_state=0).fit(sparse)
    assert_equals(from_sklearn(estimator), NEW, estimator.transform(NEW))
    few = X[:6]
    whole = KernelPCA(6, kernel=kernel, gamma=0.3).fit(few)
    assert (whole.eigenvalues_ == 0).any()
    actual, expected = blobs.values(from_sklearn(whole), NEW), whole.transform(NEW)
    np.testing.assert_allclose(actual, expected, atol=1e-8 * np.abs(expected).max())
    assert not actual[:, whole.eigenvalues_ == 0].any()


@pytest.mark.usefixtures("x64")
def test_mean_kernels_are_computed_in_blocks(monkeypatch):
    estimator = KernelPCA(3, kernel="rbf", gamma=0.2).fit(X)
    monkeypatch.setattr(kernel_methods, "BLOCK", 7)
    assert_equals(from_sklearn(estimator), NEW, estimator.transform(NEW))


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("kind", [KernelPCA, Nystroem])
def test_the_cosine_kernel_of_a_zero_vector(kind):
    data = X.copy()
    data[3] = 0
    estimator = kind(n_components=3, kernel="cosine").fit(data)
    zero = np.zeros((1, 4))
    assert_equals(from_sklearn(estimator), zero, estimator.transform(zero))
    assert_equals(from_sklearn(estimator), NEW, estimator.transform(NEW))
    scaled = blobs.values(from_sklearn(estimator), 5 * NEW)
    np.testing.assert_allclose(scaled, estimator.transform(NEW), atol=1e-10)


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("kernel", [*KERNELS, "polynomial"])
@pytest.mark.parametrize("options", [{}, {"gamma": 0.15, "coef0": 0.4, "degree": 2}], ids=["plain", "chosen"])
@pytest.mark.parametrize("by_name", [False, True])
def test_nystroem(kernel, options, by_name):
    parameters = {"linear": (), "rbf": ("gamma",), "sigmoid": ("gamma", "coef0"), "cosine": ()}
    options = {name: options[name] for name in parameters.get(kernel, options) if name in options}
    options = {"kernel_params": options} if by_name else options
    estimator = Nystroem(kernel, n_components=3, random_state=0, **options).fit(X)
    assert outputs_of(estimator) == ("transform",)
    assert_equals(from_sklearn(estimator), NEW, estimator.transform(NEW))


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("kernel", ["rbf", "poly", "sigmoid"])
def test_a_parameter_that_is_none_has_the_default_of_the_kernel(kernel):
    estimator = Nystroem(kernel, n_components=3, random_state=0, kernel_params={"gamma": None}).fit(X)
    assert_equals(from_sklearn(estimator), NEW, estimator.transform(NEW))


@pytest.mark.usefixtures("x64")
def test_nystroem_of_sparse_data():
    estimator = Nystroem("rbf", n_components=5, random_state=0).fit(csr_matrix(np.where(np.abs(X) < 0.5, 0, X)))
    assert_equals(from_sklearn(estimator), NEW, estimator.transform(NEW))


PROCESSES = {
    "default": None,
    "RBF": RBF(1.3),
    "constant times RBF": ConstantKernel(2.5) * RBF(0.8),
    "RBF times constant": RBF(0.8) * ConstantKernel(2.5),
    "anisotropic": 1.5 * RBF([0.5, 1.0, 2.0, 4.0]),
    "with noise": 2.0 * RBF(1.1) + WhiteKernel(0.2),
    "with a constant": 2.0 * RBF(1.1) + ConstantKernel(0.7) + WhiteKernel(0.2),
    "in a product": ConstantKernel(3.0) * (ConstantKernel(0.5) * RBF(1.1) + WhiteKernel(0.2) + ConstantKernel(0.3)),
}


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("name", PROCESSES)
@pytest.mark.parametrize("normalize", [False, True])
@pytest.mark.parametrize("shape", [(), (1,), (3,)], ids=str)
def test_gaussian_process(name, normalize, shape):
    y = 7 + 3 * np.sin(X @ np.random.default_rng(1).normal(size=(4, *shape)))
    estimator = GaussianProcessRegressor(PROCESSES[name], alpha=0.05, normalize_y=normalize, optimizer=None).fit(X, y)
    assert outputs_of(estimator) == ("predict",)
    assert_equals(from_sklearn(estimator), NEW, estimator.predict(NEW))


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize(("mean", "deviation"), [(1e9, 1e-3), (0.0, 1e8), (-1e-9, 1e-12), (5.0, 0.0)])
def test_targets_of_any_mean_and_scale(mean, deviation):
    y = mean + deviation * np.sin(X[:, 0])
    estimator = GaussianProcessRegressor(RBF(1.5), alpha=0.05, normalize_y=True, optimizer=None).fit(X, y)
    before = estimator.kernel_, estimator.alpha_.copy()
    stage = from_sklearn(estimator)
    assert_equals(stage, NEW, estimator.predict(NEW))
    assert estimator.kernel_ is before[0]
    np.testing.assert_array_equal(estimator.alpha_, before[1])
    plain = GaussianProcessRegressor(RBF(1.5), alpha=0.05, optimizer=None).fit(X, (y - y.mean()) / (y.std() or 1))
    expected = (y.std() or 1) * jax.jacrev(from_sklearn(plain))(jnp.asarray(NEW[0]))
    np.testing.assert_allclose(jax.jacrev(stage)(jnp.asarray(NEW[0])), expected, rtol=1e-8, atol=1e-300)


@pytest.mark.usefixtures("x64")
def test_gaussian_process_with_fitted_parameters():
    estimator = GaussianProcessRegressor(1.0 * RBF(np.ones(4)) + WhiteKernel(0.1), normalize_y=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        estimator.fit(X, X[:, 0] ** 2 + 0.1 * WHICH)
    assert np.ptp(estimator.kernel_.k1.k2.length_scale) > 0
    assert_equals(from_sklearn(estimator), NEW, estimator.predict(NEW))


@pytest.mark.exhaustive
@settings(max_examples=4)
@given(seed=st.integers(0, 2**32), name=st.sampled_from(["KernelPCA", "Nystroem", "GaussianProcessRegressor"]))
def test_any_fit_equals_scikit_learn(seed, name):
    blobs.assert_any_fit(name, seed)


# --- unsupported kernels ----------------------------------------------------------------------------------------------

UNSUPPORTED = {
    "callable": (KernelPCA(2, kernel=lambda a, b: a @ b), X, "got <function.*, a Python function whose derivative is"),
    "precomputed": (KernelPCA(2, kernel="precomputed"), X @ X.T, "got 'precomputed', whose Gram matrix does not show"),
    "laplacian": (Nystroem("laplacian", n_components=5), X, "got 'laplacian', whose derivative is not implemented"),
    "chi2": (Nystroem("chi2", n_components=5), np.abs(X), "kernel of Nystroem must be one of linear, rbf, poly,"),
}


@pytest.mark.parametrize("name", UNSUPPORTED)
def test_other_kernels_raise(name):
    estimator, data, sentence = UNSUPPORTED[name]
    with pytest.raises(InputError, match=sentence):
        outputs_of(estimator.fit(data))


@pytest.mark.parametrize(
    "kernel",
    [Matern(), RationalQuadratic(), ConstantKernel(1.0), RBF() + RBF(2.0), RBF() * RBF(2.0), Exponentiation(RBF(), 2)],
    ids=str,
)
def test_other_kernels_of_gaussian_processes_raise(kernel):
    estimator = GaussianProcessRegressor(kernel, alpha=0.1, optimizer=None).fit(X, X[:, 0])
    with pytest.raises(InputError, match=r"kernel of GaussianProcessRegressor must be one RBF.*fit with such a kernel"):
        outputs_of(estimator)
