"""Relevance by the z+ rule: equal to loops over the papers' formulas, conserved, and with the right sign."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from support import relevance_oracle
from support.marks import more
from support.small_heads import small_head

from pcacam_jax import (
    Affine,
    Chain,
    Classifier,
    Dense,
    Elementwise,
    Flatten,
    GlobalAverage,
    HybridHead,
    InputError,
    KernelExpansion,
    Normalise,
    OvrDecision,
    Parallel,
    Power,
    Scaling,
    Softmax,
    Take,
)
from pcacam_jax.cam.relevance import Relevance, relevance, relevance_pull_back
from pcacam_jax.core.numerics import relative_error
from pcacam_jax.head.targets import Selection, columns_of, parse_targets

HEADS = {
    "sigmoid": {},
    "relu, pooled": {"kernels": ("rbf",), "activation": "relu", "pool": True, "scaled": True},
    "two classes, no PCA": {"activation": "relu", "classes": 2, "pca": None},
}


@pytest.fixture(autouse=True)
def _in_float64(x64):
    return x64


@functools.cache
def made(name):
    return small_head(**HEADS[name])


def every_target(head, maps):
    """The names of all entries of all outputs, the last output first, and their selection."""
    targets = parse_targets(head, list(head.outputs)[::-1])
    selection = Selection(columns_of(head, maps, targets), tuple(target.output for target in targets))
    return [target.name for target in targets], selection


@jax.jit
def both(head, maps, selection):
    return {sign: relevance(head, maps, selection, sign) for sign in (1, -1)}


@pytest.mark.parametrize("name", [*[*HEADS][:2], *map(more, [*HEADS][2:])])
def test_relevance_equals_loops(name):
    head, maps, oracle = made(name)
    targets, selection = every_target(head, maps)
    for cells in (maps, maps - 0.4) if name == "sigmoid" else (maps,):
        for sign, result in both(head, cells, selection).items():
            assert result.shape == (len(targets), *maps.shape)
            for one, target in zip(result, targets, strict=True):
                expected = relevance_oracle.relevance(oracle, target, np.asarray(cells), sign)
                assert relative_error(one, expected) < 1e-10, (target, sign)


@pytest.mark.parametrize(
    ("shape", "pool"),
    [((4, 3, 5), "average"), more((4, 3, 5), True), more((12, 5), False), more((4, 2, 3, 5), True)],
)
def test_relevance_is_conserved_in_relu_heads_without_bias(shape, pool):
    head, maps, _ = small_head(("rbf",), activation="relu", bias=0, pool=pool, widths=(24, 20), shape=shape)
    targets, selection = every_target(head, maps)
    x_m, kernel = np.asarray(head.trunk(maps)), np.asarray(head.cnn.stages[-1].kernel)
    sums = {sign: result.reshape(len(targets), -1).sum(axis=1) for sign, result in both(head, maps, selection).items()}
    for t, target in enumerate(targets):
        output, column = target.split(":")
        pair = sums[1][t], sums[-1][t]
        if output == "cnn":
            # The contrastive start adds up to 0. What starts at a logit without a part of the sign is lost.
            starts = np.where(np.arange(3) == int(column), 1, -0.5)
            some = [np.any(sign * x_m[:, None] * kernel > 0, axis=0) for sign in (1, -1)]
            np.testing.assert_allclose(pair, [starts @ some[0], starts @ some[1]], atol=1e-12)
        else:
            # A margin whose contributions all have one sign has no evidence of the other sign.
            possible = [(1, 1)] if output == "pca" else [(1, 1), (0, 1), (1, 0)]
            assert any(np.allclose(pair, expected, atol=1e-12) for expected in possible), target


@pytest.mark.parametrize("activation", [more("relu"), more("tanh")])
def test_the_relevance_of_svms_does_not_depend_on_the_basis_of_the_components(activation):
    head, maps, _ = small_head(activation=activation, seed=2)
    targets, selection = every_target(head, maps)
    rotation = jnp.asarray(np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))[0])
    svms = {name: Chain((Affine(rotation.T, jnp.zeros(3), jnp.zeros(3)), svm)) for name, svm in head.svms.items()}
    rotated = dataclasses.replace(head, pca=dataclasses.replace(head.pca, matrix=rotation @ head.pca.matrix), svms=svms)
    chosen = np.array([not target.startswith("pca") for target in targets])
    for sign, result in both(rotated, maps, selection).items():
        assert relative_error(result[chosen], both(head, maps, selection)[sign][chosen]) < 1e-10


@pytest.mark.exhaustive
def test_evidence_against_is_the_evidence_for_the_negated_layer():
    head, maps, _ = made("sigmoid")
    _, selection = every_target(head, maps)
    last = head.cnn.stages[-1]
    layers = (*head.cnn.stages[:-1], dataclasses.replace(last, kernel=-last.kernel))
    negated = dataclasses.replace(
        head, cnn=Chain(layers), pca=dataclasses.replace(head.pca, matrix=-head.pca.matrix), svms={}
    )
    chosen = np.array([output in ("cnn", "pca") for output in selection.outputs])
    few = Selection(selection.columns[chosen], tuple(np.array(selection.outputs)[chosen].tolist()))
    negated = dataclasses.replace(negated, names=tuple(pair for pair in head.names if pair[0] in ("cnn", "pca")))
    assert relative_error(relevance(negated, maps, few), both(head, maps, selection)[-1][chosen]) < 1e-12


def through(stage, x, up, down=None, reference=None):
    """The relevance of the input, for one target, as two lists of numbers rounded to 6 digits."""
    up, x = np.array([up], float), np.array(x, float)
    down = np.zeros_like(up) if down is None else np.array([down], float)
    reference = np.zeros_like(x) if reference is None else np.array(reference, float)
    result = jax.jit(relevance_pull_back)(stage, x, reference, Relevance(up, down))
    return [[round(float(number), 6) for number in np.ravel(rows)] for rows in result]


def affine(*rows):
    return Affine(np.asarray(rows, float), np.full(len(rows[0]), 9.0), np.full(len(rows), 7.0))


def test_a_layer_with_inputs_of_both_signs_by_hand():
    # the parts w x are 2, 3, -4, -1
    layer, x = affine([2.0, -3.0, -4.0, 1.0]), [1.0, -1.0, 1.0, -1.0]
    assert through(layer, x, [10.0]) == [[4, 0, 0, 0], [0, 6, 0, 0]]
    assert through(layer, x, [0.0], [10.0]) == [[0, 0, 8, 0], [0, 0, 0, 2]]
    assert through(affine([-2.0, -3.0]), [1.0, 1.0], [10.0]) == [[0, 0], [0, 0]]
    # u = 1, where the cosine falls
    falling = Dense(np.array([[2.0], [-3.0]]), np.array([2.0]), "cosine")
    assert through(falling, [1.0, 1.0], [6.0]) == [[0, 6], [0, 0]]


def test_the_average_divides_in_proportion_to_the_cells():
    maps = np.array([[[3.0, 1.0], [1.0, -1.0]], [[0.0, 0.0], [-2.0, -3.0]]])
    up, down = through(GlobalAverage((2, 2, 2)), maps, [8.0, 10.0], [2.0, 4.0])
    assert up == [6, 10, 2, 0, 0, 0, 0, 0]
    assert down == [0, 0, 0, 1, 0, 0, 2, 3]


def test_stages_with_one_input_for_each_output_pass_relevance_on():
    assert through(Scaling(np.array([0.5, -3.0]), np.ones(2)), [0.0, 5.0], [1.0, 2.0]) == [[1, 0], [0, 2]]
    assert through(Elementwise("cosine", 2), [1.0, 4.0], [1.0, 2.0]) == [[0, 2], [1, 0]]
    assert through(Elementwise("relu", 2), [-1.0, 4.0], [1.0, 2.0]) == [[1, 2], [0, 0]]
    assert through(Power(np.ones(1), "yeo-johnson"), [-4.0], [1.0], [3.0]) == [[1], [3]]
    assert through(Take((1, 1, 0), 3), [1.0, 2.0, 3.0], [1.0, 2.0, 4.0]) == [[4, 3, 0], [0, 0, 0]]


def test_a_class_is_supported_by_what_lowers_a_component_with_a_negative_weight():
    # v = x_0 - x_1 = -1 for the maps (1, 2), and the score of the class b is -v
    svm = Classifier(KernelExpansion(np.array([[-1.0]]), None, np.zeros(1), {}, "linear"), "sign")
    pca = Affine(np.array([[1.0, -1.0]]), np.ones(2), np.zeros(1))
    names = (("pca", ("0",)), ("svm", ("a", "b")))
    head = HybridHead(Chain((Flatten((1, 2, 1)),)), Chain(()), None, pca, {"svm": svm}, names)
    maps, selection = jnp.array([[[1.0], [2.0]]]), Selection(jnp.array([0, 0, 1]), ("pca", "svm", "svm"))
    expected = {1: [[1, 0], [1, 0], [0, 1]], -1: [[0, 1], [0, 1], [1, 0]]}
    for sign, result in both(head, maps, selection).items():
        np.testing.assert_array_equal(result[:, 0, :, 0], expected[sign])


def test_kernel_reducers_start_from_the_reference():
    # the squared distance to s = (1, 2) falls by 1 in the first coordinate and by 3 in the second
    stage = KernelExpansion(np.array([[1.0, 2.0]]), None, np.zeros(1), {"gamma": np.array(0.5)}, "rbf")
    assert through(stage, [1.0, 1.0], [8.0]) == [[2, 6], [0, 0]]
    assert through(stage, [1.0, 1.0], [8.0], reference=[0.0, 1.0]) == [[8, 0], [0, 0]]
    far = dataclasses.replace(stage, support=np.array([[30.0, 0.0]]))
    assert through(far, [1.0, 0.0], [1.0]) == [[1, 0], [0, 0]]
    assert through(dataclasses.replace(far, support=far.support * 2), [1.0, 0.0], [1.0]) == [[0, 0], [0, 0]]


def test_parallel_stages_add_up():
    stage = Parallel((affine([1.0, 3.0]), Elementwise("identity", 2)))
    assert through(stage, [1.0, 1.0], [4.0, 10.0, 20.0]) == [[11, 23], [0, 0]]


@pytest.mark.parametrize("stage", [Softmax(3), OvrDecision(3), Normalise("l2", 3)])
def test_stages_without_a_rule_are_rejected(stage):
    with pytest.raises(InputError, match=f"^liftcam and relevancecam have no rule for {type(stage).__name__}; .*\\.$"):
        relevance_pull_back(stage, np.ones(3), np.zeros(3), Relevance(np.ones((1, 3)), np.zeros((1, 3))))


def test_a_sign_other_than_1_and_minus_1_is_rejected():
    head, maps, _ = made("sigmoid")
    with pytest.raises(InputError, match=r"sign must be 1, .* or -1, .*; got 0"):
        relevance(head, maps, every_target(head, maps)[1], 0)
