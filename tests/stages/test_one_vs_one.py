"""One-vs-one SVMs in scikit-learn's layout equal those with one row of coefficients per pair, and stay small."""

import dataclasses
import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.svm import SVC
from support.marks import more

from pcacam_jax import (
    Chain,
    InputError,
    KernelExpansion,
    OneVsOneExpansion,
    OvrDecision,
    PairwiseMargins,
    Scaling,
    SVMClassifier,
    decompose,
    evidence,
    explain,
    hybrid_head,
    jacobian,
    restore,
    save,
)
from pcacam_jax.core.numerics import relative_error
from pcacam_jax.scikit.svm import expansion_of
from pcacam_jax.stages import relative_kernels
from pcacam_jax.stages.one_vs_one import class_blocks, opponents, pair_classes

COUNTS = [(2, 2, 2), (1, 7, 3, 4), (1, 1, 30, 1, 2), (5, 4, 6, 5, 4, 5)]
some_counts = pytest.mark.parametrize("counts", [COUNTS[1], *map(more, COUNTS[:1] + COUNTS[2:])], ids=str)


@pytest.fixture(autouse=True)
def in_float64():
    with jax.enable_x64(True):
        yield


def one_vs_one(counts, kernel="rbf", relative=False, seed=0):
    rng = np.random.default_rng(seed)
    classes, number = len(counts), sum(counts)
    parameters = {"gamma": jnp.asarray(0.3)} if kernel == "rbf" else {}
    arrays = (rng.normal(size=s) for s in ((number, 3), (classes - 1, number), classes * (classes - 1) // 2))
    return OneVsOneExpansion(*map(jnp.asarray, arrays), parameters, counts, kernel, relative)


def dense(stage):
    """The same SVMs with one row of coefficients per pair, filled entry by entry."""
    labels = np.repeat(np.arange(len(stage.counts)), stage.counts)
    rows = np.zeros((len(stage.intercept), len(labels)))
    for p, (i, j) in enumerate(itertools.combinations(range(len(stage.counts)), 2)):
        for s, label in enumerate(labels):
            if label == i:
                rows[p, s] = stage.dual[j - 1, s]
            elif label == j:
                rows[p, s] = stage.dual[i, s]
    shared = (stage.intercept, stage.parameters, stage.kernel, stage.relative)
    return KernelExpansion(stage.support, jnp.asarray(rows), *shared)


def point(scale=1.0):
    return scale * jnp.array([0.4, -1.2, 0.7])


# --- the stage --------------------------------------------------------------------------------------------------------


@some_counts
def test_pairs_equal_those_of_the_matrix(counts):
    stage = one_vs_one(counts)
    matrix = dense(stage)
    rows = jnp.asarray(np.random.default_rng(1).normal(size=(4, len(stage.intercept))))
    np.testing.assert_array_equal(stage.coefficients, matrix.coefficients)
    assert relative_error(stage(point()), matrix(point())) < 1e-14
    assert relative_error(stage.weights(rows), matrix.weights(rows)) < 1e-14
    assert relative_error(jacobian(stage, point()), jacobian(matrix, point())) < 1e-13
    pulled = [each.pull_back(each.forward(point())[1], rows) for each in (stage, matrix)]
    assert relative_error(*pulled) < 1e-13


@some_counts
@pytest.mark.parametrize("scale", [more(1), 60])
def test_margins_and_decisions_equal_those_of_the_matrix(counts, scale):
    """With a scaler before the kernel, scale-free and plain, near the support vectors and far from them."""
    stage, classes, v = one_vs_one(counts), len(counts), point(scale)
    scaler = Scaling(jnp.array([1.0, 2.0, -0.5]), jnp.ones(3))
    forms = [
        lambda pairs: SVMClassifier(Chain((scaler, pairs)), classes),
        lambda pairs: Chain((scaler, pairs, OvrDecision(classes))),
        lambda pairs: Chain((scaler, pairs, PairwiseMargins(classes))),
    ]
    rows = jnp.asarray(np.random.default_rng(1).normal(size=(3, classes)))
    for form, relative in itertools.product(forms, (False, True)):
        both = form(stage), form(dense(stage))
        both = tuple(map(relative_kernels, both)) if relative else both
        assert relative_error(both[0](v), both[1](v)) < 1e-13
        assert relative_error(*(jacobian(each, v) for each in both)) < 1e-11
        assert relative_error(*(each.pull_back(each.forward(v)[1], rows) for each in both)) < 1e-11
        if isinstance(both[0], SVMClassifier):
            assert int(both[0].predict(v)) == int(both[1].predict(v))
            assert relative or relative_error(jacobian(both[0], v, backend="reverse"), jacobian(both[1], v)) < 1e-12


def test_summed_vectors_of_a_linear_svm_have_the_same_margins():
    stage = one_vs_one((2, 5, 1, 4), "linear")
    matrix = dense(stage)
    summed = KernelExpansion(matrix.coefficients @ matrix.support, None, matrix.intercept, {}, "linear")
    for form in (lambda pairs: pairs, lambda pairs: SVMClassifier(pairs, 4)):
        assert relative_error(form(summed)(point()), form(stage)(point())) < 1e-13
        assert relative_error(jacobian(form(summed), point()), jacobian(form(stage), point())) < 1e-13


def test_pairs_and_opponents_follow_scikit_learns_order():
    for classes in (3, 4, 7):
        pairs = list(itertools.combinations(range(classes), 2))
        assert list(zip(*map(np.ndarray.tolist, pair_classes(classes)), strict=True)) == pairs
        pair, is_first = opponents(classes)
        for label in range(classes):
            others = [other for other in range(classes) if other != label]
            assert [pairs[p] for p in pair[label]] == [tuple(sorted((label, other))) for other in others]
            assert is_first[label].tolist() == [label < other for other in others]


@pytest.mark.parametrize("counts", [*COUNTS, (0, 3, 2), (1, 1, 1000), (300, 1, 1, 1)], ids=str)
def test_blocks_hold_each_support_vector_once_and_few_others(counts):
    labels, places, inverse = class_blocks(counts)
    total = sum(counts)
    np.testing.assert_array_equal(places.reshape(-1)[inverse], np.arange(total))
    assert (places < total).sum() == total
    assert places.size <= 2 * total + 2 * len(counts)
    classes = np.repeat(np.arange(len(counts)), counts)
    assert all((classes[row[row < total]] == label).all() for label, row in zip(labels, places, strict=True))


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"counts": (1, 7, 3, 5)}, r"dual must have shape \(3, 16\); got \(3, 15\)"),
        ({"counts": (1, 7, 3)}, r"dual must have shape \(2, 11\); got"),
        ({"intercept": jnp.zeros(5)}, r"intercept must have shape \(6,\); got \(5,\)"),
        ({"support": jnp.zeros((14, 3))}, r"support must have shape \(15, 3\); got \(14, 3\)"),
    ],
)
def test_shapes_that_do_not_fit_are_rejected(change, sentence, tmp_path):
    stage = dataclasses.replace(one_vs_one((1, 7, 3, 4)), **change)
    with pytest.raises(InputError, match=sentence):
        stage(point())
    with pytest.raises(InputError):
        save(tmp_path / "stage.safetensors", stage)


# --- whole heads ------------------------------------------------------------------------------------------------------


@functools.cache
def heads(kernel, output="margin"):
    """A head from scikit-learn, and one with a matrix of coefficients in place of scikit-learn's layout."""
    rng = np.random.default_rng(4)
    label = np.concatenate([np.zeros(20, int), np.arange(20) % 5])
    maps = rng.normal(size=(40, 2, 2, 3)) + label[:, None, None, None] / 2
    svc = SVC(kernel=kernel, gamma=0.1).fit(maps.reshape(40, 12), label)
    head = hybrid_head([], maps_shape=(2, 2, 3), svms={"svm": svc}, output=output)
    support = jax.tree.map(jnp.asarray, expansion_of(svc, collapse=False))
    swap = lambda node: dense(support) if isinstance(node, OneVsOneExpansion) else node  # noqa: E731
    is_node = lambda node: isinstance(node, OneVsOneExpansion)  # noqa: E731
    return svc, head, jax.tree.map(swap, head, is_leaf=is_node), maps[:6], support


@pytest.mark.parametrize(
    ("output", "scale_free", "far"),
    [
        ("margin", False, 1),
        ("decision", True, 30),
        more("margin", True, 1),
        more("margin", False, 30),
        more("margin", True, 30),
        more("decision", False, 1),
        more("decision", True, 1),
        more("decision", False, 30),
    ],
)
def test_explanations_and_evidence_equal_those_of_the_matrix(output, scale_free, far):
    svc, head, matrix, maps, _ = heads("rbf", output)
    assert sum(leaf.size for leaf in jax.tree.leaves(matrix)) > sum(leaf.size for leaf in jax.tree.leaves(head))
    maps = far * maps
    explained, expected = (explain(h, maps, ["svm", "svm:predicted"], scale_free=scale_free) for h in (head, matrix))
    np.testing.assert_array_equal(explained.labels[:, 5], svc.predict(maps.reshape(6, 12)).astype(str))
    np.testing.assert_array_equal(explained.vanished, expected.vanished)
    assert relative_error(explained.values, expected.values) < 1e-12
    assert relative_error(explained.signed, expected.signed) < 1e-10
    got, other = (evidence(h, maps, "svm:predicted", count=3, scale_free=scale_free) for h in (head, matrix))
    np.testing.assert_array_equal(got.indices, other.indices)
    for field in ("maps", "rest", "shares", "coefficients", "kernel_values", "influences", "distances", "values"):
        np.testing.assert_allclose(
            getattr(got, field), getattr(other, field), rtol=1e-9, atol=1e-12 * abs(other.maps).max()
        )
    assert relative_error(got.signed, explained.signed[:, 5]) < 1e-10 or explained.vanished[:, 5].any()
    parts = decompose(head, maps, "svm:1")
    assert relative_error(parts.signed, decompose(matrix, maps, "svm:1").signed) < 1e-10


def test_a_linear_svm_gets_evidence_from_its_support_vectors_in_either_form():
    _, head, _, maps, support = heads("linear")
    assert isinstance(support, OneVsOneExpansion)
    got = evidence(head, maps, "svm:predicted", support=support)
    again = evidence(head, maps, "svm:predicted", support=dense(support))
    np.testing.assert_array_equal(got.indices, again.indices)
    assert relative_error(got.maps, again.maps) < 1e-12
    assert relative_error(got.signed, explain(head, maps, "svm:predicted").signed[:, 0]) < 1e-12
    wrong = dataclasses.replace(support, dual=support.dual * 1.01)
    with pytest.raises(InputError, match="support must be the kernel expansion of svm, but at example 0"):
        evidence(head, maps, "svm:predicted", support=wrong)


def test_evidence_of_one_pair():
    _, head, matrix, maps, _ = heads("rbf", "pairs")
    got, expected = (evidence(h, maps, "svm:1/3", count=4) for h in (head, matrix))
    np.testing.assert_array_equal(got.indices, expected.indices)
    assert relative_error(got.maps, expected.maps) < 1e-12


def test_a_head_keeps_its_bits_in_a_file(tmp_path):
    for kernel in ("rbf", "linear"):
        _, head, _, maps, _ = heads(kernel)
        save(tmp_path / "head.safetensors", head)
        restored = restore(tmp_path / "head.safetensors")
        assert jax.tree.structure(restored) == jax.tree.structure(head)
        for leaf, expected in zip(jax.tree.leaves(restored), jax.tree.leaves(head), strict=True):
            np.testing.assert_array_equal(leaf, expected)
        np.testing.assert_array_equal(explain(restored, maps, "svm").signed, explain(head, maps, "svm").signed)


# --- size -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kernel", ["rbf", "linear"])
def test_memory_is_linear_in_the_number_of_classes(kernel):
    """Neither the head nor an array in the compiled call is much larger than the estimator's coefficients."""
    rng, classes = np.random.default_rng(0), 120
    label = np.repeat(np.arange(classes), 3)
    maps = np.abs(rng.normal(size=(classes, 8))[label] * 2 + rng.normal(size=(len(label), 8))).reshape(-1, 2, 2, 2)
    svc = SVC(kernel=kernel, gamma=0.05).fit(maps.reshape(-1, 8), label)
    head = hybrid_head([], maps_shape=(2, 2, 2), svms={"svm": svc})
    limit = 2 * max(svc.dual_coef_.size, classes**2 / 2 * 8)
    assert sum(leaf.size for leaf in jax.tree.leaves(head)) < limit

    def one(head, maps):
        stage = head.svms["svm"]
        value, saved = stage.forward(maps.reshape(-1))
        return value, stage.predict(maps.reshape(-1)), stage.pull_back(saved, jnp.eye(classes)[:1])

    traced = jax.make_jaxpr(one)(head, jnp.asarray(maps[0]))
    sizes = [v.aval.size for equation in traced.jaxpr.eqns for v in equation.outvars]
    assert max(sizes) < 2.5 * limit
    explained = explain(head, maps[:3], ["svm:predicted", "svm:7"])
    np.testing.assert_array_equal(explained.labels[:, 0], svc.predict(maps[:3].reshape(3, 8)).astype(str))


@pytest.mark.exhaustive
def test_a_thousand_classes_fit():
    rng, classes = np.random.default_rng(0), 1000
    label = np.repeat(np.arange(classes), 5)
    maps = (rng.normal(size=(classes, 32))[label] * 2 + rng.normal(size=(len(label), 32))).reshape(-1, 2, 2, 8)
    svc = SVC(gamma=0.02).fit(maps.reshape(-1, 32), label)
    head = hybrid_head([], maps_shape=(2, 2, 8), svms={"svm": svc})
    assert sum(leaf.nbytes for leaf in jax.tree.leaves(head)) < 2 * svc.dual_coef_.nbytes
    explained = explain(head, maps[:4], ["svm:predicted", *(f"svm:{label}" for label in range(10))])
    np.testing.assert_array_equal(explained.labels[:, 0], svc.predict(maps[:4].reshape(4, 32)).astype(str))
    got = evidence(head, maps[:4], "svm:predicted")
    assert relative_error(got.signed, explained.signed[:, 0]) < 1e-10
