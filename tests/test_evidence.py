"""Which support vectors a map is made of: their parts against loops, and what must add up."""

import dataclasses
import functools
import itertools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import expit
from sklearn.decomposition import PCA, KernelPCA
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC, SVR

from pcacam_jax import KernelExpansion, critical_distance, explain, hybrid_head, influence
from pcacam_jax.cam import evidence as room
from pcacam_jax.cam.decompose import without_svms
from pcacam_jax.cam.evidence import Evidence, evidence, largest_parts
from pcacam_jax.cam.machine import machine_of
from pcacam_jax.checks import InputError
from pcacam_jax.numerics import relative_error
from pcacam_jax.scikit.svm import expansion_of

SHAPE = (4, 5, 3)
CLASSES = ("wolf", "ant", "cat", "owl")


class World(NamedTuple):
    """A head with the raw parts that it was built from, and a few examples."""

    head: Any
    dense: list
    pca: Any
    svms: dict
    maps: np.ndarray
    pool: bool


@functools.cache
def world(classes=CLASSES, *, components=3, pool=False):
    rng = np.random.default_rng(len(classes) + 10 * pool)
    which = np.arange(60) % len(classes)
    maps = np.maximum(rng.normal(size=(len(classes), *SHAPE))[which] + rng.normal(size=(60, *SHAPE)), 0)
    sizes = (2 * 2 * 3 if pool else 60, 6, 5, len(classes))
    dense = [(rng.normal(size=(i, o)) * 2 / np.sqrt(i), rng.normal(size=o)) for i, o in itertools.pairwise(sizes)]
    x = np.array([pooled(own) for own in maps]) if pool else maps
    x = x.reshape(60, -1)
    for kernel, bias in dense[:2]:
        x = expit(x @ kernel + bias)
    pca = PCA(components, svd_solver="full").fit(x) if components else None
    v, labels = x if pca is None else pca.transform(x), np.array(classes)[which]
    svms = {
        "svm_rbf": SVC(gamma=0.7).fit(v, labels),
        "scaled": make_pipeline(StandardScaler(), StandardScaler(with_std=False), SVC(gamma=0.2, C=5)).fit(v, labels),
        "svm_linear": make_pipeline(StandardScaler(), SVC(kernel="linear")).fit(v, labels),
        "poly": SVC(kernel="poly", gamma=0.4, coef0=1).fit(v, labels),
        "logistic": LogisticRegression().fit(v, labels),
        "svr": SVR(gamma=0.5, epsilon=0.2).fit(v, which),
    }
    with jax.enable_x64(True):
        head = hybrid_head(dense, pca=pca, svms=svms, maps_shape=SHAPE, activation="sigmoid", pool=pool)
    return World(head, dense, pca, svms, maps[:5], pool)


@pytest.fixture(autouse=True)
def in_float64():
    with jax.enable_x64(True):
        yield


@functools.cache
def found(name="svm_rbf", entry="predicted", count=4, **options):
    own = world(**options)
    support = expansion_of(own.svms[name], collapse=False) if name == "svm_linear" else None
    return evidence(own.head, own.maps, f"{name}:{entry}", count=count, support=support)


@functools.cache
def explained_by(**options):
    """The maps of every target used here, by name."""
    own = world(**options)
    targets = [f"{name}:{'0' if name == 'svr' else 'predicted'}" for name in own.svms]
    targets += [f"svm_rbf:{entry}" for entry in own.head.outputs["svm_rbf"]]
    return explain(own.head, own.maps, targets)


# --- by loops, from scikit-learn's fitted attributes ------------------------------------------------------------------


def pooled(maps):
    """The largest of every 2 x 2 cell."""
    out = np.zeros((maps.shape[0] // 2, maps.shape[1] // 2, maps.shape[2]))
    for i, j, k in np.ndindex(out.shape):
        out[i, j, k] = maps[2 * i : 2 * i + 2, 2 * j : 2 * j + 2, k].max()
    return out


def read_by(own, maps):
    """v (or x_m) and dv/dF, (D, h, w, K)."""
    jacobian = np.eye(maps.size).reshape(maps.size, *maps.shape)
    x = maps.reshape(-1)
    if own.pool:
        small, rows = pooled(maps), []
        for i, j, k in np.ndindex(small.shape):
            row = np.zeros(maps.shape)
            cell = [(2 * i + a, 2 * j + b) for a in (0, 1) for b in (0, 1)]
            row[(*next(place for place in cell if maps[(*place, k)] == small[i, j, k]), k)] = 1
            rows.append(row)
        x, jacobian = small.reshape(-1), np.array(rows)
    for kernel, bias in own.dense[:2]:
        u = x @ kernel + bias
        x = 1 / (1 + np.exp(-u))
        jacobian = np.tensordot((x * (1 - x))[:, None] * kernel.T, jacobian, axes=1)
    if own.pca is None:
        return x, jacobian
    return own.pca.components_ @ (x - own.pca.mean_), np.tensordot(own.pca.components_, jacobian, axes=1)


def multiplier(svc, c, i):
    """The sum over all pairs that hold class c of support vector i's alpha t, signed toward c; c None for an SVR."""
    if c is None:
        return svc.dual_coef_[0, i]
    if len(svc.classes_) == 2:
        return svc.dual_coef_[0, i] * (1 if c == 1 else -1)
    ends = np.cumsum(svc.n_support_)
    own = int(np.searchsorted(ends, i, side="right"))
    total = 0.0
    for other in range(len(svc.classes_)):
        if other == own or c not in (own, other):
            continue
        first = min(own, other)
        coefficient = svc.dual_coef_[other - 1 if own < other else other, i]
        total += coefficient if c == first else -coefficient
    return total


def kernel_by(svc, s, z):
    """k(s, z) and dk/dz."""
    if svc.kernel == "linear":
        return s @ z, s
    if svc.kernel == "poly":
        base = svc.gamma * (s @ z) + svc.coef0
        return base**svc.degree, svc.degree * svc.gamma * base ** (svc.degree - 1) * s
    k = np.exp(-svc.gamma * np.sum((s - z) ** 2))
    return k, 2 * svc.gamma * k * (s - z)


class Part(NamedTuple):
    index: int
    map: np.ndarray
    coefficient: float
    kernel: float
    influence: float
    distance: float


def parts_by_loops(own, name, c, maps):
    """One Part for every support vector, in the order of the estimator."""
    v, jacobian = read_by(own, maps)
    steps = [step for _, step in own.svms[name].steps] if hasattr(own.svms[name], "steps") else [own.svms[name]]
    z, slope = v, np.ones(len(v))
    for scaler in steps[:-1]:
        scale = np.ones(len(v)) if scaler.scale_ is None else scaler.scale_
        z, slope = (z - scaler.mean_) / scale, slope / scale
    out = []
    for i, s in enumerate(steps[-1].support_vectors_):
        coefficient = multiplier(steps[-1], c, i)
        k, gradient = kernel_by(steps[-1], s, z)
        on_maps = np.tensordot(coefficient * gradient * slope, jacobian, axes=1)
        heat = np.zeros(maps.shape[:2])
        for channel in range(maps.shape[2]):
            heat += on_maps[:, :, channel].mean() * maps[:, :, channel]
        distance = np.sqrt(np.sum((s - z) ** 2))
        out.append(Part(i, heat, coefficient, k, np.sqrt(np.sum(gradient**2)), distance))
    return out


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


# --- blocks and batches -----------------------------------------------------------------------------------------------


def fields(got):
    return {own.name: getattr(got, own.name) for own in dataclasses.fields(Evidence)}


def check_alike(got, expected, tolerance):
    np.testing.assert_array_equal(got.indices, expected.indices)
    for name, own in fields(got).items():
        if name in ("target", "labels", "indices"):
            np.testing.assert_array_equal(own, getattr(expected, name))
        else:
            assert relative_error(own, getattr(expected, name)) < tolerance, name


@pytest.mark.parametrize("block", [1, 7])
def test_blocks_join_without_a_seam(block, monkeypatch):
    number = found().support_vectors
    assert number % 7
    monkeypatch.setattr(room, "block_size", lambda count, reads, batch: block)
    got = evidence(world().head, world().maps, "svm_rbf:predicted", count=4)
    check_alike(got, found(), 1e-12)


def test_batches_change_nothing():
    check_alike(evidence(world().head, world().maps, "svm_rbf:predicted", count=4, batch_size=2), found(), 1e-13)


@pytest.mark.parametrize(("count", "block"), [(2, 1), (1, 2), (5, 2), (2, 4), (3, 5)])
def test_the_first_among_equals_comes_first(count, block):
    machine = KernelExpansion(
        support=jnp.array([[1.0], [2], [2], [1], [2]]),
        coefficients=jnp.array([[1.0, 1, -1, 0, 1]]),
        intercept=jnp.zeros(1),
        parameters={},
        kernel="linear",
    )
    got = largest_parts(machine, jnp.ones(1), jnp.ones(1), jnp.eye(1), count, block)
    assert got.indices.tolist() == [1, 2, 4, 0, 3][:count]
    assert got.weights[:, 0].tolist() == [2, -2, 2, 1, 0][:count]
    assert float(got.rest[0]) == sum([2, -2, 2, 1, 0][count:])
    assert float(got.total) == 7


def shapes_in(jaxpr):
    """Shapes of everything that is computed, in every nested computation."""
    for equation in jaxpr.eqns:
        yield from (tuple(own.aval.shape) for own in equation.outvars)
        for inner in jax.tree.leaves(
            list(equation.params.values()), is_leaf=lambda own: hasattr(own, "eqns") or hasattr(own, "jaxpr")
        ):
            inner = getattr(inner, "jaxpr", inner)
            if hasattr(inner, "eqns"):
                yield from shapes_in(inner)


@pytest.mark.parametrize("column", [None, 1])
@pytest.mark.parametrize("relative", [False, True])
def test_nothing_has_an_entry_for_each_support_vector(column, relative):
    """Neither for one example nor for a batch: memory is that of a block."""
    rng, own, number, block = np.random.default_rng(0), world(), 1001, 50
    support, coefficients = jnp.asarray(rng.normal(size=(number, 3))), jnp.asarray(rng.normal(size=(6, number)))
    machine = machine_of("svm_rbf", own.head.svms["svm_rbf"])
    changes = {"support": support, "coefficients": coefficients, "relative": relative}
    machine = dataclasses.replace(machine, expansion=dataclasses.replace(machine.expansion, **changes))
    compute = functools.partial(room._evidence_batch, column=column, count=4, block=block)
    arguments = without_svms(own.head), machine, jnp.asarray(own.maps[:2])
    with jax.numpy_dtype_promotion("strict"), jax.numpy_rank_promotion("raise"):
        traced = jax.make_jaxpr(compute)(*arguments)
    sizes = [max(shape, default=0) for shape in shapes_in(traced.jaxpr)]
    assert len(sizes) > 100
    assert block in sizes
    assert max(sizes) <= 60  # what the head reads; 2 x 1001 would be an entry for each


@pytest.mark.parametrize(("count", "reads", "batch", "size"), [(10, 3, 1, 10), (10**6, 3, 256, 5461), (9, 10**9, 1, 1)])
def test_blocks_are_as_large_as_memory_allows(count, reads, batch, size):
    assert room.block_size(count, reads, batch) == size


# --- precision --------------------------------------------------------------------------------------------------------


def in_float32(head):
    return jax.tree.map(lambda leaf: leaf.astype("float32"), head)


def test_float32_is_close_to_float64():
    with jax.enable_x64(False):
        got = evidence(in_float32(world().head), world().maps, "svm_rbf:predicted", count=4)
        assert {own.dtype for own in fields(got).values() if isinstance(own, jax.Array)} == {
            jnp.dtype("float32"),
            jnp.dtype("int32"),
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


def test_maps_of_zeros_have_no_shares():
    got = evidence(world().head, np.zeros((1, *SHAPE)), "svm_rbf:cat", count=3)
    assert not got.maps.any()
    assert not got.rest.any()
    assert np.isnan(got.shares).all()
    assert np.isfinite(got.influences).all()
    assert got.indices.tolist() == [[0, 1, 2]]


# --- misuse -----------------------------------------------------------------------------------------------------------


def linear_support(**changes):
    return dataclasses.replace(expansion_of(world().svms["svm_linear"], collapse=False), **changes)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (
            {"target": "cnn:0"},
            "target must be a class of an SVM, of which this head has svm_rbf, scaled, .*got 'cnn:0'",
        ),
        ({"target": "pca"}, "target must be a class of an SVM"),
        ({"target": "svm_rbf"}, "target must be one class, svm_rbf:predicted or one of svm_rbf:ant, svm_rbf:cat, "),
        ({"target": "svm_rbf:dog"}, "names no entry"),
        ({"target": ["svm_rbf:cat"]}, "target must be a string such as 'svm_rbf:predicted'; got list"),
        ({"head": {}}, "head must be a HybridHead"),
        ({"count": 0}, "count must be an integer of at least 1; got 0"),
        ({"count": True}, "count must be an integer"),
        ({"count": 2.0}, "count must be an integer"),
        ({"batch_size": 0}, "batch_size must be an integer"),
        ({"maps": np.zeros((2, 3))}, r"maps must have shape \(B, 4, 5, 3\)"),
        ({"maps": np.full((1, *SHAPE), np.nan)}, "maps must be finite"),
        ({"target": "logistic:predicted"}, "logistic has no support vectors of its own, being made of Affine"),
        ({"target": "svm_linear:predicted"}, "svm_linear is linear and keeps only the sum of its support vectors"),
        ({"support": 3}, "support must be a KernelExpansion; got int"),
        (
            {"support": lambda: linear_support(intercept=np.zeros(2))},
            "reads 3 numbers and gives 6; .* reads 3 .*gives 2",
        ),
        ({"support": lambda: linear_support(intercept=np.zeros(6))}, "at example 0 it gives .* where the head gives"),
    ],
)
def test_misuse_gets_a_sentence(change, sentence):
    options = {"head": world().head, "maps": world().maps[:2], "target": "svm_rbf:predicted", **change}
    if "support" in change:
        options["target"] = "svm_linear:predicted"
    if callable(options.get("support")):
        options["support"] = options["support"]()
    with pytest.raises((InputError, TypeError), match=sentence):
        evidence(**options)


def test_support_of_an_rbf_machine_may_be_given_too():
    support = expansion_of(world().svms["svm_rbf"])
    got = evidence(world().head, world().maps, "svm_rbf:predicted", count=4, support=support)
    check_alike(got, found(), 1e-12)
    other = dataclasses.replace(support, parameters={"gamma": np.float64(0.71)})
    with pytest.raises(InputError, match="support must be the machine of svm_rbf, but at example 0"):
        evidence(world().head, world().maps, "svm_rbf:predicted", support=other)
