"""Edge cases of the conversion: degenerate data, labels of every type, sparse data and single precision."""

import copy

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.sparse import csr_matrix
from sklearn.cross_decomposition import PLSSVD, PLSRegression
from sklearn.decomposition import PCA, FactorAnalysis, FastICA, IncrementalPCA, KernelPCA
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.kernel_approximation import RBFSampler
from sklearn.linear_model import LogisticRegression, Perceptron, Ridge, RidgeClassifier, SGDClassifier
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MaxAbsScaler, MinMaxScaler, Normalizer, PowerTransformer, RobustScaler, StandardScaler
from sklearn.svm import SVC, LinearSVC, LinearSVR
from support import parities
from support.drawing import Draw

from pcacam_jax import InputError, from_sklearn, jacobian
from pcacam_jax.scikit import outputs_of, svm_classifier

pytestmark = pytest.mark.usefixtures("x64")
SCALERS = [StandardScaler(), MinMaxScaler(), MaxAbsScaler(), RobustScaler()]
POWERS = [PowerTransformer("yeo-johnson"), PowerTransformer("box-cox"), PowerTransformer(standardize=False)]
CLASSIFIERS = [
    LogisticRegression(),
    LinearSVC(),
    SGDClassifier("log_loss", max_iter=2000),
    RidgeClassifier(),
    Perceptron(),
    LinearDiscriminantAnalysis(),
    MLPClassifier((3,), solver="lbfgs", max_iter=5000, alpha=1.0, random_state=0),
]


def name_of(estimator):
    return type(estimator).__name__


def data(size=3, seed=0):
    draw = Draw(seed)
    return draw.points(60, size), draw


slopes_at = jax.jit(lambda stage, x: jax.vmap(lambda row: jnp.diag(jacobian(stage, row)))(x))
values_at = jax.jit(lambda stage, x: jax.vmap(stage)(x))


def assert_equals_sklearn(estimator, x, tolerance=1e-10):
    for output in outputs_of(estimator):
        values = np.asarray(values_at(from_sklearn(estimator, output=output), jnp.asarray(x, np.float64)))
        assert parities.gap(values, parities.sklearn_output(estimator, output, x), output) <= tolerance, output


# --- features ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("estimator", [*SCALERS, *POWERS, PCA(whiten=True), FastICA(), FactorAnalysis()], ids=name_of)
def test_one_feature(estimator):
    x = np.exp(data(1)[0])
    assert_equals_sklearn(estimator.fit(x), 1.1 * x[:5])


@pytest.mark.parametrize("estimator", [*SCALERS, PowerTransformer(), PLSRegression(2), PLSSVD(1)], ids=name_of)
def test_a_constant_feature_is_divided_by_one(estimator):
    x, draw = data()
    x[:, 1] = 7.25
    estimator.fit(x, draw.targets(x, 2))
    assert_equals_sklearn(estimator, x[:5] * 1.1)


@pytest.mark.parametrize("variance", [1e-20, 0.0])
def test_whitening_without_variance_divides_by_eps_as_scikit_learn(variance):
    x, _ = data()
    for pca in (PCA(3, whiten=True).fit(x), IncrementalPCA(3, whiten=True).fit(x)):
        pca.explained_variance_[-1] = variance
        stage = from_sklearn(pca)
        assert np.isfinite(stage.matrix).all()
        np.testing.assert_allclose(
            np.asarray(values_at(stage, jnp.asarray(x))), pca.transform(x), rtol=1e-10, atol=1e-3
        )


def test_no_precision_is_lost_far_from_the_origin():
    x, draw = data()
    x, y = x + 1e4, draw.targets(x, 2)
    for estimator in (PLSRegression(2), PLSSVD(2), StandardScaler(), PCA(2)):
        assert_equals_sklearn(estimator.fit(x, y), x[:5], tolerance=1e-9)


@pytest.mark.parametrize("exponent", [-2.0, 0.0, 2.0, 5.0])
@pytest.mark.parametrize("method", ["yeo-johnson", "box-cox"])
def test_powers_with_a_bounded_side_are_standardized(method, exponent):
    x = np.exp(data()[0])
    power = PowerTransformer(method).fit(x)
    power.lambdas_[:] = exponent
    power._scaler.fit(copy.copy(power).set_params(standardize=False).transform(x))
    assert_equals_sklearn(power, 1.01 * x[:5], tolerance=1e-9)


@pytest.mark.parametrize("method", ["yeo-johnson", "box-cox"])
def test_powers_are_standardized_wherever_the_data_lies(method):
    random = np.random.default_rng(0)
    for offset in np.geomspace(1, 100, 20):
        x = np.abs(random.normal(size=(40, 3))) + offset
        power = PowerTransformer(method).fit(x)
        # The mean divided by the deviation is the factor by which scikit-learn itself loses precision.
        loss = np.abs(power.transform(np.full((1, 3), float(method == "box-cox")))).max()
        assert_equals_sklearn(power, 1.01 * x[:5], tolerance=max(1e-10, 1e-15 * loss))


@pytest.mark.parametrize("low", [-1.0, 0.0])
def test_clipping_is_flat_outside_the_range(low):
    x, _ = data()
    for scaler, bounds in ((MinMaxScaler((low, 2), clip=True), (low, 2)), (clipping_max_abs(), (-1.0, 1.0))):
        if scaler is None:
            continue
        stage, wide = from_sklearn(scaler.fit(x)), 3 * x
        values = np.asarray(values_at(stage, jnp.asarray(wide)))
        np.testing.assert_allclose(values, scaler.transform(wide), atol=1e-12)
        flat = np.isclose(values, bounds[0]) | np.isclose(values, bounds[1])
        assert 0 < flat.sum() < flat.size
        slopes = np.asarray(slopes_at(stage, jnp.asarray(wide)))
        np.testing.assert_array_equal(slopes == 0, flat)


def clipping_max_abs():
    """Return a MaxAbsScaler that clips, or None for scikit-learn before 1.8, which has no such option."""
    scaler = MaxAbsScaler()
    return scaler.set_params(clip=True) if "clip" in scaler.get_params() else None


@pytest.mark.parametrize("norm", ["l1", "l2", "max"])
def test_a_zero_vector_is_not_normalised(norm):
    normalizer = Normalizer(norm).fit(np.ones((2, 3)))
    for x in (np.zeros((1, 3)), np.full((1, 3), 1e-16)):
        np.testing.assert_allclose(from_sklearn(normalizer)(jnp.asarray(x[0])), normalizer.transform(x)[0], atol=0)


@pytest.mark.parametrize("norm", ["l1", "l2", "max"])
def test_the_smallest_norm_that_is_normalised_depends_on_the_dtype(norm):
    normalizer = Normalizer(norm).fit(np.ones((2, 3)))
    for dtype, length in (("float32", 5e-7), ("float32", 2e-6), ("float64", 5e-7), ("float64", 1e-15)):
        x = np.full((1, 3), length / 3, dtype)
        value = from_sklearn(normalizer)(jnp.asarray(x[0]))
        np.testing.assert_allclose(value, normalizer.transform(x)[0], rtol=1e-6)


# --- labels -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "classes"), [("positions", 4), ("numbers", 2), ("names", 2), ("names", 4)])
@pytest.mark.parametrize("estimator", CLASSIFIERS, ids=name_of)
def test_signs_and_order_of_classes(estimator, kind, classes):
    x, draw = data()
    estimator.fit(x, draw.labels(x, classes, kind))
    for output in {"decision", "log_proba", "proba"} & set(outputs_of(estimator)):
        values = np.asarray(values_at(from_sklearn(estimator, output=output), jnp.asarray(x)))
        binary = output == "decision" and classes == 2
        assert values.shape == (len(x), 1 if binary else classes)
        which = (values[:, 0] > 0).astype(int) if binary else values.argmax(axis=1)
        np.testing.assert_array_equal(estimator.classes_[which], estimator.predict(x))


def test_log_probabilities_are_precise_where_scikit_learn_underflows():
    x = np.array([[-1.0], [1.0]])
    model = LogisticRegression(C=1e6).fit(x, [0, 1])
    far = np.array([200 / model.coef_[0, 0]])
    with np.errstate(divide="ignore"):
        assert model.predict_log_proba(far[None])[0, 0] == -np.inf
    np.testing.assert_allclose(from_sklearn(model, output="log_proba")(jnp.asarray(far)), [-200, 0], atol=1e-4)


# --- training data ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("estimator", CLASSIFIERS[:5], ids=name_of)
def test_sparse_training_and_sparse_coefficients(estimator):
    x, draw = data()
    x[np.abs(x) < 0.5] = 0
    estimator.fit(csr_matrix(x), draw.labels(x, 3))
    assert_equals_sklearn(estimator, x[:5])
    if hasattr(estimator, "sparsify"):
        assert hasattr(estimator.sparsify().coef_, "toarray")
        assert_equals_sklearn(estimator, x[:5])


@pytest.mark.parametrize(
    "estimator",
    [*SCALERS, *POWERS[:1], PCA(2, whiten=True), RBFSampler(), LogisticRegression(), Ridge(), CLASSIFIERS[-1]],
    ids=name_of,
)
def test_fitted_in_single_precision(estimator):
    x, draw = data()
    x = x.astype(np.float32)
    estimator.fit(x, draw.labels(x, 3, "positions"))
    assert_equals_sklearn(estimator, x[:5].astype(np.float64), tolerance=2e-6)
    stage = from_sklearn(estimator)
    assert {leaf.dtype.name for leaf in jax.tree.leaves(stage)} <= {"float64"}


@pytest.mark.parametrize(
    "estimator",
    [
        *SCALERS,
        *POWERS,
        PCA(2),
        PLSRegression(2),
        PLSSVD(2),
        Ridge(),
        LinearSVR(C=0.1, max_iter=100000),
        MLPRegressor(hidden_layer_sizes=(3,), max_iter=5000),
    ],
    ids=name_of,
)
def test_fitted_on_a_table_with_column_names(estimator):
    x, draw = data()
    x = np.exp(x)
    estimator.fit(x, draw.targets(x, 2) if isinstance(estimator, PLSSVD) else draw.targets(x))
    # As after a fit on a pandas table; scikit-learn then warns about every array without names.
    estimator.feature_names_in_ = np.array(["width", "height", "depth"], dtype=object)
    assert_equals_sklearn(estimator, 1.05 * x[:5])


def test_parameters_have_the_requested_dtype():
    x, draw = data()
    model = LogisticRegression().fit(x, draw.labels(x, 3))
    for dtype in ("float32", "float64"):
        assert {leaf.dtype.name for leaf in jax.tree.leaves(from_sklearn(model, dtype=dtype))} == {dtype}
    with jax.enable_x64(False):
        assert {leaf.dtype.name for leaf in jax.tree.leaves(from_sklearn(model))} == {"float32"}


@pytest.mark.parametrize("dtype", [int, "int32", bool, complex, "nonsense", 3], ids=str)
def test_a_dtype_that_is_not_floating_raises(dtype):
    with pytest.raises(InputError, match="dtype must be floating, such as float32; got"):
        from_sklearn(StandardScaler().fit(data()[0]), dtype=dtype)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_the_error_about_parameters_that_are_not_finite_names_the_estimator(bad):
    x, draw = data()
    model = make_pipeline(StandardScaler(), LogisticRegression()).fit(x, draw.labels(x, 2))
    model[0].mean_[1] = bad
    sentence = r"the fitted parameters of StandardScaler must be finite, but 1 of 3 values are NaN or infinite"
    for estimator in (model[0], model):
        with pytest.raises(InputError, match=sentence):
            from_sklearn(estimator)


def test_parameters_that_overflow_in_the_dtype_raise():
    x, draw = data()
    sentence = r"the fitted parameters of StandardScaler overflow in float16, whose largest number is 6.6e\+04; use a"
    with pytest.raises(InputError, match=sentence):
        from_sklearn(StandardScaler().fit(1e6 * x), dtype="float16")
    svm = make_pipeline(StandardScaler(), SVC()).fit(x, draw.labels(x, 3))
    svm[0].scale_[1] = 1e-40
    assert np.isfinite(from_sklearn(svm, output="pairs").stages[0].scale).all()
    for convert in (from_sklearn, svm_classifier):
        with pytest.raises(InputError, match=r"Pipeline overflow in float32, whose largest number is 3.4e\+38"):
            convert(svm, dtype="float32")


@pytest.mark.parametrize("estimator", [*map(Normalizer, ("l1", "l2", "max")), KernelPCA(2, kernel="cosine")], ids=str)
def test_integer_data_is_normalised(estimator):
    x = np.random.default_rng(0).integers(-5, 6, size=(20, 3))
    stage = from_sklearn(estimator.fit(x))
    values = np.stack([stage(jnp.asarray(row)) for row in x])
    np.testing.assert_allclose(values, estimator.transform(x), atol=1e-12)


def aligned_copy(array):
    """Return a copy whose address is a multiple of 64, so that JAX can use its memory without copying."""
    buffer = np.zeros(array.nbytes + 64, np.uint8)
    start = -buffer.ctypes.data % 64
    aligned = buffer[start : start + array.nbytes].view(array.dtype).reshape(array.shape)
    aligned[...] = array
    return aligned


@pytest.mark.parametrize(
    ("estimator", "attributes"),
    [(StandardScaler(), ["mean_"]), (PCA(2), ["components_", "mean_"]), (LogisticRegression(), ["coef_"])],
    ids=name_of,
)
def test_a_stage_does_not_change_with_its_estimator(estimator, attributes):
    x, draw = data(40)
    estimator.fit(x, draw.labels(x, 3))
    for attribute in attributes:
        setattr(estimator, attribute, aligned_copy(getattr(estimator, attribute)))
    stage = from_sklearn(estimator)
    before = np.array(stage(jnp.asarray(x[0])))
    for attribute in attributes:
        getattr(estimator, attribute)[...] = 0
    np.testing.assert_array_equal(stage(jnp.asarray(x[0])), before)


def test_another_number_of_features_raises():
    x, _ = data()
    stage = from_sklearn(StandardScaler().fit(x))
    with pytest.raises(InputError, match=r"x must have shape \(3,\); got \(4,\)"):
        stage(jnp.ones(4))
