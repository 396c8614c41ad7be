"""Sanity checks: randomised heads and labels, degenerate maps and gradients, and patches at known places."""

import dataclasses
import functools
import itertools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.svm import SVC
from support import patch_world
from support.every_method import NAMES, both_signs
from support.marks import more

from pcacam_jax import InputError, explain, hybrid_head
from pcacam_jax.cam.methods import METHODS
from pcacam_jax.cam.sanity import parts, randomisation_test, randomised
from pcacam_jax.core.numerics import relative_error
from pcacam_jax.metrics import centred_gaussian, mass_inside, pointing_game

OUTPUTS = ("cnn", "pca", "svm_linear", "svm_rbf")
LABELS = patch_world.world().test.labels
TRUE_CLASS = np.stack([LABELS, 0 * LABELS, LABELS, LABELS], axis=1)
"""The columns of the targets: the true class of each example, and component 0."""
PARTS = ("svm_linear", "svm_rbf", "pca", "dense:3", "dense:2", "dense:1")
ON_PATH = {"cnn": "dense:3", "pca": "pca", "svm_linear": "svm_linear", "svm_rbf": "svm_rbf"}
"""For each output, the first part from above that it depends on."""


def maps_of(head, maps, columns=TRUE_CLASS):
    """L+ and L- of every method, (B, T, *space)."""
    return jax.tree.map(np.asarray, both_signs(head, jnp.asarray(maps, head.dtype), columns, outputs=OUTPUTS))


# --- randomised heads -------------------------------------------------------------------------------------------------


def test_parts_from_the_output_side_down():
    head = patch_world.world().head
    assert parts(head) == PARTS
    assert parts(head, "cnn") == ("dense:3", "dense:2", "dense:1")
    assert parts(head, "pca") == ("pca", "dense:2", "dense:1")
    assert parts(head, "svm_rbf") == ("svm_rbf", "pca", "dense:2", "dense:1")
    rng = np.random.default_rng(0)
    layers = [(rng.normal(size=(48, 5)), np.zeros(5)), (rng.normal(size=(5, 2)), np.zeros(2))]
    split = hybrid_head(layers, maps_shape=(4, 4, 3), at=1, before_activation=True)
    assert parts(split) == ("dense:2", "dense:1"), "an activation of its own has no number"


@pytest.mark.parametrize("part", PARTS)
def test_the_arrays_of_one_part_are_permuted_and_no_others(part):
    head = patch_world.world().head
    leaves = jax.tree_util.tree_leaves_with_path(head)
    prefix = {"pca": ".pca", "dense:3": ".cnn.stages[0]", "dense:2": ".dense.stages[1]", "dense:1": ".dense.stages[0]"}
    prefix = prefix.get(part, f".svms['{part}']")
    changed = randomised(head, part, seed=3)
    assert jax.tree.structure(changed) == jax.tree.structure(head)
    for (path, before), after in zip(leaves, jax.tree.leaves(changed), strict=True):
        assert before.dtype == after.dtype
        np.testing.assert_array_equal(np.sort(after, axis=None), np.sort(before, axis=None))
        entries = np.asarray(before).ravel()
        if not jax.tree_util.keystr(path).startswith(prefix):
            np.testing.assert_array_equal(after, before)
        elif len(set(entries)) == len(entries) > 1:
            assert (np.asarray(after).ravel() != entries).all(), "no entry stays in its place"
    again, other = (randomised(head, part, seed=seed) for seed in (3, 4))
    assert jax.tree.all(jax.tree.map(np.array_equal, again, changed))
    assert part == "svm_linear" or not jax.tree.all(jax.tree.map(np.array_equal, other, changed))


@functools.cache
def cascade():
    """The heads after each step, with the seeds of the library."""
    heads = [patch_world.world().head]
    for number, part in enumerate(PARTS):
        heads.append(randomised(heads[-1], part, seed=number))
    return heads[1:]


TARGETS = ["cnn:predicted", "pca:0", "svm_linear:predicted", "svm_rbf:predicted"]


@functools.cache
def cascaded():
    """The maps of the original head and after each step, for the classes that the original head predicts."""
    world = patch_world.world()
    columns = np.asarray(explain(world.head, world.test.maps, TARGETS, method="hirescam").columns)
    return [maps_of(head, world.test.maps, columns) for head in (world.head, *cascade())]


def test_maps_change_if_and_only_if_something_on_the_path_is_randomised():
    original, *steps = cascaded()
    for step, name, (t, output) in itertools.product(range(len(PARTS)), NAMES, enumerate(OUTPUTS)):
        before, after = (np.stack(each[name])[:, :, t] for each in (original, steps[step]))
        if name == "eigencam" or step < PARTS.index(ON_PATH[output]):
            assert relative_error(after, before) < 1e-5, (name, output, step)
        else:
            assert relative_error(after, before) > 0.02, (name, output, step)


def test_correlations_after_each_step_equal_those_of_numpy():
    world = patch_world.world()
    test = randomisation_test(world.head, world.test.maps, TARGETS, method="hirescam")
    assert test.steps == PARTS
    assert test.targets == tuple(TARGETS)
    assert test.on_path.tolist() == [[step >= PARTS.index(ON_PATH[each]) for each in OUTPUTS] for step in range(6)]
    signed = [np.subtract(*maps["hirescam"]) for maps in cascaded()]
    for step, b, t in np.ndindex(test.correlations.shape):
        before, after = signed[0][b, t].ravel(), signed[step + 1][b, t].ravel()
        if np.ptp(after) == 0:
            assert np.isnan(test.correlations[step, b, t])
        elif np.ptp(after) > 1e-6 * np.ptp(before):  # smaller maps, of vanishing gradients, are rounding errors
            assert abs(test.correlations[step, b, t] - np.corrcoef(before, after)[0, 1]) < 1e-4
    assert np.nanmean(test.correlations[-1]) < 0.5


def test_eigen_cam_does_not_look_at_the_head():
    world = patch_world.world()
    test = randomisation_test(world.head, world.test.maps, "pca:0", method="eigencam")
    assert test.steps == ("pca", "dense:2", "dense:1")
    np.testing.assert_allclose(test.correlations, 1, atol=1e-5)


def test_what_cannot_be_randomised_is_rejected():
    world = patch_world.world()
    with pytest.raises(InputError, match=r"part must be one of svm_linear, .*; got 'dense:4'"):
        randomised(world.head, "dense:4")
    with pytest.raises(InputError, match="seed must be an integer"):
        randomised(world.head, "pca", seed=-1)
    with pytest.raises(InputError, match="output must be one of cnn, "):
        parts(world.head, "svm")
    with pytest.raises(InputError, match="does not change images; got 'scorecam'"):
        randomisation_test(world.head, world.test.maps, "pca:0", method="scorecam")
    with pytest.raises(InputError, match="this one reads 2, so use"):
        randomisation_test(dataclasses.replace(world.head, columns=2), world.test.maps, "pca:0")
    x = np.arange(6.0)[:, None]
    small = hybrid_head(
        [], maps_shape=(2, 2, 1), pool="average", svms={"svm": SVC(kernel="linear").fit(x, x[:, 0] > 2)}
    )
    assert parts(small) == ()
    with pytest.raises(InputError, match="between the maps and svm have no arrays to permute"):
        randomisation_test(small, np.ones((1, 2, 2, 1)), "svm:True")


# --- degenerate maps and gradients ------------------------------------------------------------------------------------


@pytest.fixture(name="head", params=["float32", more("float64")])
def _head(request):
    with jax.enable_x64(request.param == "float64"):
        yield jax.tree.map(lambda leaf: jnp.asarray(leaf, request.param), patch_world.world().head)


def degenerate_maps():
    """Maps of which the first are zero, constant over positions, and negative."""
    maps = patch_world.world().test.maps.copy()
    maps[0], maps[1], maps[2] = 0, np.array([0.5, 1e-3, 2.0, 0.0]), -maps[2] - 0.1
    return maps


def with_first_layer(head, change):
    first, *others = head.dense.stages
    return dataclasses.replace(head, dense=dataclasses.replace(head.dense, stages=(change(first), *others)))


def test_zero_constant_and_negative_maps(head):
    for name, (raises, lowers) in maps_of(head, degenerate_maps()).items():
        assert np.isfinite(raises).all(), name
        assert np.isfinite(lowers).all(), name
        assert not raises[0].any(), name
        assert not lowers[0].any(), name
        if METHODS[name].formula.startswith("L = sum_k a_k A_k") or name == "eigencam":
            assert np.ptp(raises[1] - lowers[1], axis=(1, 2)).max() <= 1e-5 * np.abs(raises[1] - lowers[1]).max(), name
        if name == "eigencam":
            assert not raises[2].any(), "the map has the sign of the sum of the maps"
            assert (lowers[2] > 0).all()


@pytest.mark.parametrize(
    "change",
    [
        lambda first: dataclasses.replace(first, kernel=jnp.abs(first.kernel), bias=first.bias - 1e4),
        lambda first: dataclasses.replace(first, kernel=0 * first.kernel),
    ],
    ids=["dead units", "a head that does not read the maps"],
)
def test_a_zero_gradient_gives_maps_of_zeros(head, change):
    for name, (raises, lowers) in maps_of(with_first_layer(head, change), degenerate_maps()).items():
        assert np.isfinite(raises).all(), name
        assert np.isfinite(lowers).all(), name
        if name == "eigencam":
            assert raises[3:].any(), "it does not depend on the head"
        else:  # differences of values are zero up to rounding
            rounding = 100 * np.finfo(raises.dtype).eps if METHODS[name].needs == "head" else 0
            assert max(raises.max(), lowers.max()) <= rounding, name


@pytest.mark.parametrize("weight", [1.0, 0.0])
def test_cam_of_degenerate_maps_and_of_a_head_that_does_not_read_them(weight):
    kernel = weight * np.array([[1.0, -1.0], [2.0, 0.5], [-1.0, 3.0], [0.0, 1.0]], np.float32)
    average = hybrid_head([(kernel, np.ones(2, np.float32))], maps_shape=patch_world.SHAPE, pool="average", at=0)
    maps = degenerate_maps()[:3]
    result = explain(average, maps, "cnn:1", method="cam")
    np.testing.assert_allclose(result.signed[:, 0], maps @ kernel[:, 1], atol=1e-5)
    assert not np.asarray(result.positive[0]).any()


def scaled_logits(factor):
    """The maps of the logits times a factor, divided by it."""
    head = patch_world.world().head
    (last,) = head.cnn.stages
    last = dataclasses.replace(last, kernel=factor * last.kernel, bias=factor * last.bias)
    result = maps_of(
        dataclasses.replace(head, cnn=dataclasses.replace(head.cnn, stages=(last,))), patch_world.world().test.maps
    )
    return {name: np.stack(each)[:, :, 0] for name, each in result.items()}


@pytest.mark.parametrize(("one", "other"), [(1e-20, 1e-24), (1e12, 1e15)])
def test_small_and_large_gradients_stay_in_the_range_of_float32(one, other):
    """All methods but Grad-CAM++ are homogeneous; its forms are so in these limits, in y or not at all."""
    first, second = scaled_logits(one), scaled_logits(other)
    for name, maps in first.items():
        assert np.isfinite(maps).all(), name
        assert np.isfinite(second[name]).all(), name
        ends_in_shares = name in ("relevancecam", "eigencam") or (name == "gradcam++" and one > 1)
        factor = 1 if ends_in_shares else other / one
        assert relative_error(second[name] / factor, maps) < 1e-3, name
        assert maps.any(), name


# --- patches at known places ------------------------------------------------------------------------------------------

AREA = (patch_world.SIDE**2) / np.prod(patch_world.SPACE)
"""The mass inside the patch of a constant map, and of random maps on average."""
TARGETED = [name for name in NAMES if name != "eigencam"]
FIRST_THREE = OUTPUTS[:3]
"""The outputs that are monotonic in the component; the margin of an RBF SVM falls again beyond its support vectors."""


class Scores(NamedTuple):
    """Means over the examples for one method and one output."""

    inside: float
    """The mass inside the patch of the evidence for the true class; for component 0, which is higher for class 1, of
    the side of the true class."""
    against: float
    """The mass inside the patch of the opposite evidence."""
    pointing: float
    """The pointing game for the evidence for the true class."""


@jax.jit
def _every_score(maps, masks):
    return jax.vmap(lambda heatmap, mask: (mass_inside(heatmap, mask), pointing_game(heatmap, mask)))(maps, masks)


@functools.cache
def scores(question="channel", shuffled=()):
    """For every method and every output, its Scores."""
    world = patch_world.world(question, shuffled=shuffled)
    result = maps_of(world.head, world.test.maps)
    both = np.stack([np.stack(each) for each in result.values()])
    lower = world.test.labels == 0
    both[:, :, lower, 1] = both[:, ::-1, lower, 1]
    masks = np.broadcast_to(world.test.masks[:, None], both.shape)
    values = _every_score(both.reshape(-1, *patch_world.SPACE), masks.reshape(-1, *patch_world.SPACE))
    mass, pointing = (np.reshape(value, both.shape[:4]).mean(axis=2) for value in values)
    return {
        name: {output: Scores(*mass[n, :, t], pointing[n, 0, t]) for t, output in enumerate(OUTPUTS)}
        for n, name in enumerate(result)
    }


def test_maps_that_know_nothing_have_the_mass_of_the_area():
    masks = patch_world.world().test.masks
    random = np.random.default_rng(0).normal(size=masks.shape)
    centre = np.broadcast_to(centred_gaussian(patch_world.SPACE), masks.shape)
    for maps in (np.maximum(random, 0), centre):
        assert ((maps * masks).sum(axis=(1, 2)) / maps.sum(axis=(1, 2))).mean() < 1.5 * AREA
        assert (
            masks.reshape(len(masks), -1)[np.arange(len(masks)), maps.reshape(len(masks), -1).argmax(axis=1)].mean()
            < 0.25
        )


@pytest.mark.parametrize("name", TARGETED)
def test_every_method_finds_a_patch_that_counts_wherever_it_lies(name):
    for output in FIRST_THREE:
        result = scores()[name][output]
        assert result.inside > 2 * AREA, output
        assert result.inside > 1.3 * result.against, output
        assert result.pointing > 0.6, output
    assert scores()[name]["svm_rbf"].inside > 1.3 * AREA


def test_eigen_cam_shows_the_distractor_as_much_as_the_patch():
    for output in ("cnn", "svm_linear", "svm_rbf"):
        result = scores()["eigencam"][output]
        assert abs(result.inside - 2 * AREA) < 0.3 * AREA
        assert 0.3 < result.pointing < 0.7


@pytest.mark.parametrize(
    ("names", "area"),
    [
        (("hirescam", "layercam", "eigengradcam"), 4),
        (("xgradcam", "ablationcam", "liftcam", "shapcam"), 2.5),
    ],
    ids=["one weight a cell", "one weight a map, from products or values"],
)
def test_a_patch_that_counts_by_its_position_is_shown_by_most_methods(names, area):
    for name, output in ((name, output) for name in names for output in FIRST_THREE):
        result = scores("side")[name][output]
        assert result.inside > area * AREA, (name, output)
        assert result.against < AREA, (name, output)


@pytest.mark.parametrize("name", ["gradcam", "shapleycam"])
def test_the_mean_of_the_gradient_loses_a_patch_that_counts_by_its_position(name):
    """The gradient has the opposite sign on the other side, so that the mean over the positions of a map cancels."""
    for output in FIRST_THREE:
        result = scores("side")[name][output]
        assert max(result.inside, result.against) < 2 * AREA
        assert result.pointing < 0.5


@pytest.mark.parametrize("name", ["gradcam++", "gradcam++authors", "gradcam++exact"])
def test_positive_weights_show_the_same_place_for_and_against(name):
    """Every map has positions of positive gradient, for y and for -y."""
    for output in FIRST_THREE:
        result = scores("side")[name][output]
        assert result.inside > 1.5 * AREA
        assert abs(result.inside - result.against) < 0.5 * AREA


@pytest.mark.parametrize("name", ["gradcam", "hirescam", "layercam", "liftcam", "shapcam"])
def test_a_network_and_svms_of_shuffled_labels_do_not_find_the_patch(name):
    true, shuffled = (scores("channel", parts)[name] for parts in ((), ("network", "svms")))
    for output in ("svm_linear", "svm_rbf"):
        assert true[output].inside - true[output].against > 0.7 * AREA
        assert shuffled[output].inside - shuffled[output].against < AREA
        assert shuffled[output].pointing < 0.5


@pytest.mark.exhaustive
@pytest.mark.parametrize("name", ["gradcam", "hirescam", "layercam", "liftcam", "shapcam"])
def test_behind_a_network_of_true_labels_an_svm_of_shuffled_ones_still_reads_the_patch(name):
    """The features hold little else, so that the map lies on the patch, with a sign that means nothing."""
    result = scores("channel", ("svms",))[name]["svm_linear"]
    assert max(result.inside, result.against) > 2.5 * AREA
