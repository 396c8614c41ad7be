"""The terms of a map over support vectors: comparison with loops, and the sums that must hold."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.decomposition import KernelPCA
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from support.evidence_world import (
    SHAPE,
    check_equal,
    components_and_jacobian,
    evidence_in_world,
    explanation_in_world,
    fields,
    terms_by_loops,
    world,
)
from support.marks import more

from pcacam_jax import KernelExpansion, critical_distance, explain, hybrid_head, influence
from pcacam_jax.cam.evidence import evidence
from pcacam_jax.core.numerics import relative_error
from pcacam_jax.scikit.svm import expansion_of


@pytest.fixture(autouse=True)
def in_float64():
    with jax.enable_x64(True):
        yield


CASES = [
    ("svm_rbf", {}),
    ("scaled", {}),
    ("svm_linear", {}),
    ("poly", {}),
    ("svr", {}),
    ("svm_rbf", {"classes": ("b", "a")}),
    ("scaled", {"components": None}),
    ("scaled", {"pool": True}),
]
every_case = pytest.mark.parametrize(("name", "options"), CASES)


@every_case
def test_terms_against_loops(name, options):
    check_against_loops(
        world(**options), name, evidence_in_world(name, "0" if name == "svr" else "predicted", **options)
    )


@pytest.mark.parametrize("method", ["gradcam", more("xgradcam")])
@pytest.mark.parametrize("name", ["scaled", more("poly")])
def test_terms_of_other_methods_against_loops(name, method):
    got = evidence(world().head, world().maps, f"{name}:predicted", method=method, count=4)
    check_against_loops(world(), name, got, method)
    whole = explain(world().head, world().maps, f"{name}:predicted", method=method)
    assert relative_error(got.signed, whole.signed[:, 0]) < 1e-12


def check_against_loops(data, name, got, method="hirescam"):
    for b in (0, 3):
        c = None if name == "svr" else int(got.columns[b])
        expected = terms_by_loops(data, name, c, data.maps[b], method)
        sizes = np.array([np.linalg.norm(term.map) for term in expected])
        order = sorted(expected, key=lambda term: -np.linalg.norm(term.map))
        largest = np.abs(sum(term.map for term in expected)).max() + sizes.max()
        assert got.indices[b].tolist() == [term.index for term in order[:4]]
        np.testing.assert_allclose(got.maps[b], [term.map for term in order[:4]], atol=1e-12 * largest)
        np.testing.assert_allclose(got.rest[b], sum(term.map for term in order[4:]), atol=1e-11 * largest)
        np.testing.assert_allclose(got.shares[b], np.sort(sizes)[::-1][:4] / sizes.sum(), rtol=1e-10)
        np.testing.assert_allclose(got.coefficients[b], [term.coefficient for term in order[:4]], rtol=1e-10)
        np.testing.assert_allclose(got.kernel_values[b], [term.kernel for term in order[:4]], rtol=1e-10)
        np.testing.assert_allclose(got.influences[b], [term.influence for term in order[:4]], rtol=1e-10, atol=1e-13)
        np.testing.assert_allclose(got.distances[b], [term.distance for term in order[:4]], rtol=1e-10, atol=1e-13)
        assert got.support_vectors == len(expected)


@pytest.mark.parametrize(("name", "options"), [*CASES[:3], *(more(*case) for case in CASES[3:])])
def test_terms_and_rest_sum_to_the_map(name, options):
    entry = "0" if name == "svr" else "predicted"
    got, explained = evidence_in_world(name, entry, **options), explanation_in_world(**options)
    t = explained.targets.index(f"{name}:{entry}")
    assert relative_error(got.signed, explained.signed[:, t]) < 1e-12
    np.testing.assert_allclose(got.values, explained.values[:, t], rtol=1e-10)
    np.testing.assert_array_equal(got.columns, explained.columns[:, t])
    np.testing.assert_array_equal(got.labels, explained.labels[:, t])


@pytest.mark.parametrize("count", [1, 10**6])
def test_the_rest_is_the_sum_of_all_other_terms(count):
    got, few = evidence_in_world(count=count), evidence_in_world()
    assert got.maps.shape == (5, min(count, got.support_vectors), *SHAPE[:2])
    assert relative_error(got.signed, few.signed) < 1e-12
    if count > got.support_vectors:
        assert not got.rest.any()
        assert np.sort(got.indices[0]).tolist() == list(range(got.support_vectors))
        np.testing.assert_allclose(got.shares.sum(axis=1), 1, rtol=1e-12)
    np.testing.assert_array_equal(got.indices[:, 0], few.indices[:, 0])


@pytest.mark.parametrize(("name", "options"), [("svm_rbf", {}), ("svm_rbf", {"classes": ("b", "a")})])
def test_terms_and_intercepts_sum_to_the_margin(name, options):
    got, svc = evidence_in_world(name, count=10**6, **options), world(**options).svms[name]
    for b, c in enumerate(np.asarray(got.columns)):
        intercept, pair = 0.0, 0
        for i in range(len(svc.classes_)):
            for j in range(i + 1, len(svc.classes_)):
                intercept += svc.intercept_[pair] * (int(c == i) - int(c == j))
                pair += 1
        # With two classes the decision value of scikit-learn is positive for the second class.
        sign = -1 if len(svc.classes_) == 2 else 1
        assert float(got.terms[b].sum()) + sign * intercept == pytest.approx(float(got.values[b]), rel=1e-10)


def test_two_classes_have_opposite_terms():
    a, b = (evidence_in_world("svm_rbf", entry, classes=("b", "a")) for entry in ("a", "b"))
    np.testing.assert_array_equal(a.indices, b.indices)
    np.testing.assert_array_equal(a.coefficients, -b.coefficients)
    assert relative_error(a.maps, -b.maps) < 1e-13


def test_a_named_class_is_explained_at_every_example():
    got = evidence_in_world(entry="cat")
    assert got.labels.tolist() == ["cat"] * 5
    t = explanation_in_world().targets.index("svm_rbf:cat")
    assert relative_error(got.signed, explanation_in_world().signed[:, t]) < 1e-12


@pytest.mark.parametrize(("name", "output"), [("svm_rbf", "decision"), ("logistic_rbf", "log_proba")])
def test_scores_that_are_not_linear_in_the_decision_values_have_terms_too(name, output):
    data = world()
    options = {"maps_shape": SHAPE, "activation": "sigmoid", "output": {name: output}}
    svm = data.svms["svm_rbf"]
    if output == "log_proba":
        v = np.array([components_and_jacobian(data, maps)[0] for maps in data.maps])
        kernel = KernelPCA(4, kernel="rbf", gamma=0.7).fit(v)
        svm = make_pipeline(kernel, LogisticRegression()).fit(v, ["ant", "cat", "owl", "ant", "cat"])
    head = hybrid_head(data.dense, pca=data.pca, svms={name: svm}, **options)
    got, explained = (call(head, data.maps, f"{name}:ant") for call in (evidence, explain))
    assert relative_error(got.signed, explained.signed[:, 0]) < 1e-12
    assert relative_error(got.values, explained.values[:, 0]) < 1e-12


# --- influence and distance -------------------------------------------------------------------------------------------


def test_influence_and_critical_distance_follow_the_formulas_of_the_paper():
    got = evidence_in_world("scaled", count=10**6)
    gamma = 0.2
    assert got.critical_distance == pytest.approx(critical_distance(gamma), rel=1e-12)
    np.testing.assert_allclose(got.influences, influence(got.distances, gamma), rtol=1e-10)
    height = np.sqrt(2 * gamma) * np.exp(-0.5)
    assert float(got.influences.max()) <= height
    nearest = np.unravel_index(np.abs(got.distances - got.critical_distance).argmin(), got.distances.shape)
    assert float(got.influences[nearest]) == pytest.approx(height, rel=1e-2)
    assert evidence_in_world("svm_linear").critical_distance is None


def test_a_support_vector_at_the_example_itself_has_a_zero_term():
    """Theorem 1: it adds most to the value and nothing to the map."""
    data = world()
    z = components_and_jacobian(data, data.maps[0])[0]
    expansion = KernelExpansion(
        np.stack([z, z + np.eye(3)[0]]), np.array([[5.0, 1.0]]), np.zeros(1), {"gamma": np.float64(0.5)}, "rbf"
    )
    expansion = jax.tree.map(jnp.asarray, expansion)
    names = (*data.head.names, ("svm", ("0",)))
    got = evidence(dataclasses.replace(data.head, svms={"svm": expansion}, names=names), data.maps[:1], "svm:0")
    assert got.indices.tolist() == [[1, 0]]
    np.testing.assert_allclose(got.shares, [[1, 0]], atol=1e-12)
    np.testing.assert_allclose(got.terms[0], [np.exp(-0.5), 5], rtol=1e-12)
    assert got.critical_distance == 1
    np.testing.assert_allclose(got.influences[0, 0], np.exp(-0.5), rtol=1e-12)


# --- precision --------------------------------------------------------------------------------------------------------


def in_float32(head):
    return jax.tree.map(lambda leaf: leaf.astype("float32"), head)


def test_float32_is_close_to_float64():
    with jax.enable_x64(False):
        got = evidence(in_float32(world().head), world().maps, "svm_rbf:predicted", count=4)
        assert {value.dtype for value in fields(got).values() if isinstance(value, jax.Array)} == {
            jnp.dtype("float32"),
            jnp.dtype("int32"),
            jnp.dtype("bool"),
        }
    check_equal(got, evidence_in_world(), 1e-4)


def narrow_head(gamma):
    """A float32 head whose RBF kernel is so narrow that its values underflow, though their exponents do not."""
    svm = world().head.svms["svm_rbf"]
    pairs = dataclasses.replace(svm.pairs, parameters={"gamma": jnp.asarray(gamma)})
    svms = {**world().head.svms, "svm_rbf": dataclasses.replace(svm, pairs=pairs)}
    return in_float32(dataclasses.replace(world().head, svms=svms))


def test_an_underflowed_svm_has_shares_only_with_scale_free():
    with jax.enable_x64(False):
        head = narrow_head(3e4)
        maps = 5 * world().maps[:2]  # not the training images themselves, whose kernel value is 1
        lost = evidence(head, maps, "svm_rbf:cat")
        assert np.isnan(lost.shares).all()
        assert not lost.maps.any()
        got = evidence(head, maps, "svm_rbf:cat", scale_free=True)
        assert np.isfinite(got.shares).all()
        np.testing.assert_allclose(got.shares.sum(axis=1), 1, rtol=1e-4)  # only the nearest support vectors contribute
        explained = explain(head, maps, "svm_rbf:cat", scale_free=True)
        assert relative_error(got.signed, explained.signed[:, 0]) < 1e-5


def test_scale_free_terms_differ_by_one_factor_per_example():
    got = evidence(world().head, world().maps, "svm_rbf:predicted", count=4, scale_free=True)
    explained = explain(world().head, world().maps, "svm_rbf:predicted", scale_free=True)
    assert relative_error(got.signed, explained.signed[:, 0]) < 1e-12
    plain = evidence_in_world()
    np.testing.assert_array_equal(got.indices, plain.indices)
    assert relative_error(got.shares, plain.shares) < 1e-12
    factors = np.sum(got.maps**2, axis=(1, 2, 3)) / np.sum(got.maps * plain.maps, axis=(1, 2, 3))
    assert (factors > 0).all()
    assert relative_error(plain.maps * factors[:, None, None, None], got.maps) < 1e-12


def scale_free_evidence(head, maps, target, support=None):
    """The scale-free terms, after a check that they sum to the map of explain and are not zero."""
    got = evidence(head, maps, target, support=support, scale_free=True)
    explained = explain(head, maps, target, scale_free=True)
    assert relative_error(got.signed, explained.signed[:, 0]) < 1e-12
    assert got.maps.any(axis=(1, 2, 3)).all()
    assert not got.vanished.any()
    return got


@pytest.mark.filterwarnings("ignore:The `probability` parameter:FutureWarning")
@pytest.mark.parametrize(("output", "classes"), [("decision", 4), ("decision", 2), ("log_proba", 2)])
def test_scores_other_than_margins_can_be_scale_free_too(output, classes):
    """An SVC predicts by votes whatever its scores are, and the votes have no derivative."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(40, 4))
    svc = SVC(gamma=0.5, probability=output == "log_proba", random_state=0).fit(x, np.arange(40) % classes)
    head = hybrid_head([], maps_shape=(1, 2, 2), svms={"svm": svc}, output=output)
    maps = rng.normal(size=(3, 1, 2, 2))
    free, plain = (evidence(head, maps, "svm:predicted", scale_free=flag) for flag in (True, False))
    np.testing.assert_array_equal(free.labels, svc.predict(maps.reshape(3, 4)).astype(str))
    np.testing.assert_array_equal(free.indices, plain.indices)
    assert relative_error(free.shares, plain.shares) < 1e-12
    scale_free_evidence(head, maps, "svm:predicted")


@pytest.mark.parametrize("far", [more(1.1), 40])
@pytest.mark.parametrize("kernel", ["rbf", more("poly"), "linear after an RBF kernel PCA"])
def test_after_a_kernel_pca_all_terms_have_one_scale(kernel, far):
    rng = np.random.default_rng(0)
    maps, y = rng.random((40, 3, 3, 4)), rng.integers(0, 3, 40)
    reducer = make_pipeline(StandardScaler(), KernelPCA(2, kernel="rbf", gamma=0.02)).fit(maps.reshape(40, -1))
    v = reducer.transform(maps.reshape(40, -1))
    two_kernels = kernel not in ("rbf", "poly")
    last = SVC(kernel="linear" if two_kernels else kernel, gamma=0.5 if kernel == "rbf" else "scale")
    svm = make_pipeline(KernelPCA(2, kernel="rbf", gamma=0.3), last) if two_kernels else last
    svm.fit(v, y)
    head = hybrid_head([], maps_shape=(3, 3, 4), pca=reducer, svms={"svm": svm})
    support = expansion_of(svm, collapse=False) if two_kernels else None
    free = scale_free_evidence(head, far * maps[:3], "svm:1", support=support)
    if far < 2:
        plain = evidence(head, far * maps[:3], "svm:1", support=support)
        np.testing.assert_array_equal(free.indices, plain.indices)
        assert relative_error(free.shares, plain.shares) < 1e-10
        factors = np.linalg.norm(free.signed, axis=(1, 2)) / np.linalg.norm(plain.signed, axis=(1, 2))
        assert relative_error(free.maps, plain.maps * factors[:, None, None, None]) < 1e-10
    else:
        assert evidence(head, far * maps[:3], "svm:1", support=support).vanished.all()


def test_maps_of_zeros_have_no_shares():
    got = evidence(world().head, np.zeros((1, *SHAPE)), "svm_rbf:cat", count=3)
    assert not got.maps.any()
    assert not got.rest.any()
    assert np.isnan(got.shares).all()
    assert np.isfinite(got.influences).all()
    assert got.indices.tolist() == [[0, 1, 2]]
