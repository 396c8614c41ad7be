"""Which support vectors a map is made of: their parts against loops, and what must add up."""

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
    check_alike,
    explained_by,
    fields,
    found,
    parts_by_loops,
    read_by,
    world,
)

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
def test_parts_against_loops(name, options):
    own, got = world(**options), found(name, "0" if name == "svr" else "predicted", **options)
    for b in (0, 3):
        c = None if name == "svr" else int(got.columns[b])
        expected = parts_by_loops(own, name, c, own.maps[b])
        sizes = np.array([np.linalg.norm(part.map) for part in expected])
        order = sorted(expected, key=lambda part: -np.linalg.norm(part.map))
        largest = np.abs(sum(part.map for part in expected)).max() + sizes.max()
        assert got.indices[b].tolist() == [part.index for part in order[:4]]
        np.testing.assert_allclose(got.maps[b], [part.map for part in order[:4]], atol=1e-12 * largest)
        np.testing.assert_allclose(got.rest[b], sum(part.map for part in order[4:]), atol=1e-11 * largest)
        np.testing.assert_allclose(got.shares[b], np.sort(sizes)[::-1][:4] / sizes.sum(), rtol=1e-10)
        np.testing.assert_allclose(got.coefficients[b], [part.coefficient for part in order[:4]], rtol=1e-10)
        np.testing.assert_allclose(got.kernel_values[b], [part.kernel for part in order[:4]], rtol=1e-10)
        np.testing.assert_allclose(got.influences[b], [part.influence for part in order[:4]], rtol=1e-10, atol=1e-13)
        np.testing.assert_allclose(got.distances[b], [part.distance for part in order[:4]], rtol=1e-10, atol=1e-13)
        assert got.support_vectors == len(expected)


@every_case
def test_parts_and_rest_add_up_to_the_map(name, options):
    entry = "0" if name == "svr" else "predicted"
    got, explained = found(name, entry, **options), explained_by(**options)
    t = explained.targets.index(f"{name}:{entry}")
    assert relative_error(got.signed, explained.signed[:, t]) < 1e-12
    np.testing.assert_allclose(got.values, explained.values[:, t], rtol=1e-10)
    np.testing.assert_array_equal(got.columns, explained.columns[:, t])
    np.testing.assert_array_equal(got.labels, explained.labels[:, t])


@pytest.mark.parametrize("count", [1, 10**6])
def test_the_rest_is_what_is_left(count):
    got, few = found(count=count), found()
    assert got.maps.shape == (5, min(count, got.support_vectors), *SHAPE[:2])
    assert relative_error(got.signed, few.signed) < 1e-12
    if count > got.support_vectors:
        assert not got.rest.any()
        assert np.sort(got.indices[0]).tolist() == list(range(got.support_vectors))
        np.testing.assert_allclose(got.shares.sum(axis=1), 1, rtol=1e-12)
    np.testing.assert_array_equal(got.indices[:, 0], few.indices[:, 0])


@pytest.mark.parametrize(("name", "options"), [("svm_rbf", {}), ("svm_rbf", {"classes": ("b", "a")})])
def test_terms_and_intercepts_add_up_to_the_margin(name, options):
    got, svc = found(name, count=10**6, **options), world(**options).svms[name]
    for b, c in enumerate(np.asarray(got.columns)):
        intercept, pair = 0.0, 0
        for i in range(len(svc.classes_)):
            for j in range(i + 1, len(svc.classes_)):
                intercept += svc.intercept_[pair] * (int(c == i) - int(c == j))
                pair += 1
        # With two classes scikit-learn's one machine is positive for the second.
        sign = -1 if len(svc.classes_) == 2 else 1
        assert float(got.terms[b].sum()) + sign * intercept == pytest.approx(float(got.values[b]), rel=1e-10)


def test_two_classes_have_opposite_parts():
    a, b = (found("svm_rbf", entry, classes=("b", "a")) for entry in ("a", "b"))
    np.testing.assert_array_equal(a.indices, b.indices)
    np.testing.assert_array_equal(a.coefficients, -b.coefficients)
    assert relative_error(a.maps, -b.maps) < 1e-13


def test_a_named_class_is_explained_everywhere():
    got = found(entry="cat")
    assert got.labels.tolist() == ["cat"] * 5
    t = explained_by().targets.index("svm_rbf:cat")
    assert relative_error(got.signed, explained_by().signed[:, t]) < 1e-12


@pytest.mark.parametrize(("name", "output"), [("svm_rbf", "decision"), ("logistic_rbf", "log_proba")])
def test_scores_that_are_not_linear_in_the_machine_have_parts_too(name, output):
    own = world()
    options = {"maps_shape": SHAPE, "activation": "sigmoid", "output": {name: output}}
    svm = own.svms["svm_rbf"]
    if output == "log_proba":
        v = np.array([read_by(own, maps)[0] for maps in own.maps])
        kernel = KernelPCA(4, kernel="rbf", gamma=0.7).fit(v)
        svm = make_pipeline(kernel, LogisticRegression()).fit(v, ["ant", "cat", "owl", "ant", "cat"])
    head = hybrid_head(own.dense, pca=own.pca, svms={name: svm}, **options)
    got, explained = (call(head, own.maps, f"{name}:ant") for call in (evidence, explain))
    assert relative_error(got.signed, explained.signed[:, 0]) < 1e-12
    assert relative_error(got.values, explained.values[:, 0]) < 1e-12


# --- influence and distance -------------------------------------------------------------------------------------------


def test_influence_and_critical_distance_are_the_papers():
    got = found("scaled", count=10**6)
    gamma = 0.2
    assert got.critical_distance == pytest.approx(critical_distance(gamma), rel=1e-12)
    np.testing.assert_allclose(got.influences, influence(got.distances, gamma), rtol=1e-10)
    height = np.sqrt(2 * gamma) * np.exp(-0.5)
    assert float(got.influences.max()) <= height
    nearest = np.unravel_index(np.abs(got.distances - got.critical_distance).argmin(), got.distances.shape)
    assert float(got.influences[nearest]) == pytest.approx(height, rel=1e-2)
    assert found("svm_linear").critical_distance is None


def test_a_support_vector_at_the_image_itself_has_no_part():
    """Theorem 1: it adds most to the value and nothing to the map."""
    own = world()
    z = read_by(own, own.maps[0])[0]
    machine = KernelExpansion(
        np.stack([z, z + np.eye(3)[0]]), np.array([[5.0, 1.0]]), np.zeros(1), {"gamma": np.float64(0.5)}, "rbf"
    )
    machine = jax.tree.map(jnp.asarray, machine)
    names = (*own.head.names, ("own", ("0",)))
    got = evidence(dataclasses.replace(own.head, svms={"own": machine}, names=names), own.maps[:1], "own:0")
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
        assert {own.dtype for own in fields(got).values() if isinstance(own, jax.Array)} == {
            jnp.dtype("float32"),
            jnp.dtype("int32"),
            jnp.dtype("bool"),
        }
    check_alike(got, found(), 1e-4)


def far_head(gamma):
    """An RBF machine so narrow that nothing of it is left in float32 but its exponents."""
    machine = world().head.svms["svm_rbf"]
    pairs = dataclasses.replace(machine.pairs, parameters={"gamma": jnp.asarray(gamma)})
    svms = {**world().head.svms, "svm_rbf": dataclasses.replace(machine, pairs=pairs)}
    return in_float32(dataclasses.replace(world().head, svms=svms))


def test_an_underflowed_machine_has_no_shares_but_scale_free_ones():
    with jax.enable_x64(False):
        head = far_head(3e4)
        maps = 5 * world().maps[:2]  # other than the images trained on, whose kernel with themselves is 1
        lost = evidence(head, maps, "svm_rbf:cat")
        assert np.isnan(lost.shares).all()
        assert not lost.maps.any()
        got = evidence(head, maps, "svm_rbf:cat", scale_free=True)
        assert np.isfinite(got.shares).all()
        np.testing.assert_allclose(got.shares.sum(axis=1), 1, rtol=1e-4)  # the nearest say it all
        explained = explain(head, maps, "svm_rbf:cat", scale_free=True)
        assert relative_error(got.signed, explained.signed[:, 0]) < 1e-5


def test_free_of_scale_means_a_factor_of_each_image():
    got = evidence(world().head, world().maps, "svm_rbf:predicted", count=4, scale_free=True)
    explained = explain(world().head, world().maps, "svm_rbf:predicted", scale_free=True)
    assert relative_error(got.signed, explained.signed[:, 0]) < 1e-12
    np.testing.assert_array_equal(got.indices, found().indices)
    assert relative_error(got.shares, found().shares) < 1e-12
    factors = np.sum(got.maps**2, axis=(1, 2, 3)) / np.sum(got.maps * found().maps, axis=(1, 2, 3))
    assert (factors > 0).all()
    assert relative_error(found().maps * factors[:, None, None, None], got.maps) < 1e-12


def free_of_scale(head, maps, target, support=None):
    """The parts, which must add up to the map of explain."""
    got = evidence(head, maps, target, support=support, scale_free=True)
    explained = explain(head, maps, target, scale_free=True)
    assert relative_error(got.signed, explained.signed[:, 0]) < 1e-12
    assert got.maps.any(axis=(1, 2, 3)).all()
    assert not got.vanished.any()
    return got


@pytest.mark.filterwarnings("ignore:The `probability` parameter:FutureWarning")
@pytest.mark.parametrize(("output", "classes"), [("decision", 4), ("decision", 2), ("log_proba", 2)])
def test_scores_beside_the_margins_are_free_of_scale_too(output, classes):
    """An SVC predicts by votes whatever is explained, and what it votes by has no derivative."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(40, 4))
    svc = SVC(gamma=0.5, probability=output == "log_proba", random_state=0).fit(x, np.arange(40) % classes)
    head = hybrid_head([], maps_shape=(1, 2, 2), svms={"own": svc}, output=output)
    maps = rng.normal(size=(3, 1, 2, 2))
    free, plain = (evidence(head, maps, "own:predicted", scale_free=own) for own in (True, False))
    np.testing.assert_array_equal(free.labels, svc.predict(maps.reshape(3, 4)).astype(str))
    np.testing.assert_array_equal(free.indices, plain.indices)
    assert relative_error(free.shares, plain.shares) < 1e-12
    free_of_scale(head, maps, "own:predicted")


@pytest.mark.parametrize("far", [1.1, 40])
@pytest.mark.parametrize("machine", ["rbf", "poly", "behind another"])
def test_behind_a_kernel_pca_all_parts_have_one_scale(machine, far):
    rng = np.random.default_rng(0)
    maps, y = rng.random((40, 3, 3, 4)), rng.integers(0, 3, 40)
    reducer = make_pipeline(StandardScaler(), KernelPCA(2, kernel="rbf", gamma=0.02)).fit(maps.reshape(40, -1))
    v = reducer.transform(maps.reshape(40, -1))
    last = SVC(gamma=0.5) if machine == "rbf" else SVC(kernel="poly" if machine == "poly" else "linear")
    svm = make_pipeline(KernelPCA(2, kernel="rbf", gamma=0.3), last) if machine == "behind another" else last
    svm.fit(v, y)
    head = hybrid_head([], maps_shape=(3, 3, 4), pca=reducer, svms={"own": svm})
    support = expansion_of(svm, collapse=False) if machine == "behind another" else None
    found = free_of_scale(head, far * maps[:3], "own:1", support=support)
    if far < 2:
        plain = evidence(head, far * maps[:3], "own:1", support=support)
        np.testing.assert_array_equal(found.indices, plain.indices)
        assert relative_error(found.shares, plain.shares) < 1e-10
        factors = np.linalg.norm(found.signed, axis=(1, 2)) / np.linalg.norm(plain.signed, axis=(1, 2))
        assert relative_error(found.maps, plain.maps * factors[:, None, None, None]) < 1e-10
    else:
        assert evidence(head, far * maps[:3], "own:1", support=support).vanished.all()


def test_maps_of_zeros_have_no_shares():
    got = evidence(world().head, np.zeros((1, *SHAPE)), "svm_rbf:cat", count=3)
    assert not got.maps.any()
    assert not got.rest.any()
    assert np.isnan(got.shares).all()
    assert np.isfinite(got.influences).all()
    assert got.indices.tolist() == [[0, 1, 2]]
