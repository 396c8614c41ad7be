"""The library against the oracle, and the oracle against scikit-learn, central differences and hand-worked numbers."""

import functools
import itertools
from dataclasses import dataclass

import numpy as np
import pytest
from sklearn.decomposition import PCA
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from support import oracle
from support.marks import more

import pcacam_jax

TOLERANCE = 1e-10
SMALLEST = 1e-3  # compared values must exceed this, so that a wrong factor cannot hide below the tolerance
ANIMALS = ("wolf", "ant", "bear", "newt", "cat", "owl", "eel", "fox", "gnu", "yak")  # not in scikit-learn's order
NUMBERS = (7, 3)


@dataclass(frozen=True)
class Setting:
    """Parameters from which a random head, its training data and three images are drawn."""

    activation: str = "sigmoid"
    classes: tuple = NUMBERS
    pool: bool = False
    whiten: bool = False
    maps_shape: tuple[int, int, int] = (4, 4, 6)
    widths: tuple[int, ...] = (8, 7, 5)
    at: int = 2
    components: int | None = 3  # None: the SVMs read x_m
    gamma: float = 0.7
    scaled: bool = False  # whether each SVM is a Pipeline of a StandardScaler and an SVC
    tied: bool = False  # maps with many equal entries and zeros, as after a ReLU
    break_ties: bool = False
    seed: int = 0

    def __str__(self):
        """The name of the test case."""
        parts = [self.activation, str(len(self.classes)), "pool" if self.pool else "nopool"]
        return "-".join(parts + ["whiten"] * self.whiten)


@functools.cache
def make_case(setting):
    """(oracle, three images, thirty training images), with PCA and SVCs fitted on the oracle's x_m."""
    rng = np.random.default_rng(setting.seed)
    h, w, channels = setting.maps_shape
    count = len(setting.classes)
    sizes = ((h // 2) * (w // 2) * channels if setting.pool else h * w * channels, *setting.widths, count)
    dense = [
        (rng.normal(size=(before, after)) * 2.5 / np.sqrt(before), rng.normal(size=after) * 0.3)
        for before, after in itertools.pairwise(sizes)
    ]
    centres = rng.normal(size=(count, h, w, channels)) * 0.8

    def draw(which):
        maps = centres[which] + rng.normal(size=(len(which), h, w, channels)) * 0.5 + 0.2
        return np.maximum(np.round(maps), 0.0) if setting.tied else maps

    which = np.concatenate([np.arange(count)] * 4 + [rng.integers(count, size=20)])
    train, maps = draw(which), draw(np.arange(3) % count)
    head = oracle.Oracle(dense, None, {}, setting.at, setting.activation, setting.pool)
    features = np.array([head.x_m(one) for one in train])
    if setting.components is not None:
        head.pca = PCA(setting.components, whiten=setting.whiten, svd_solver="full").fit(features)
        features = head.pca.transform(features)
    labels = np.array(setting.classes)[which]
    for kernel in ("linear", "rbf"):
        svc = SVC(kernel=kernel, C=10.0, gamma=setting.gamma, break_ties=setting.break_ties)
        svm = make_pipeline(StandardScaler(), svc) if setting.scaled else svc
        head.svms[f"svm_{kernel}"] = svm.fit(features, labels)
    return head, maps, train[:30]


def all_targets(setting):
    """All components, two logits, the predicted classes, and up to three named classes for each SVM."""
    targets = ["pca"] if setting.components is not None else []
    targets += ["cnn:0", f"cnn:{len(setting.classes) - 1}", "cnn:predicted"]
    for name in ("svm_linear", "svm_rbf"):
        targets += [f"{name}:predicted", *(f"{name}:{label}" for label in setting.classes[:3])]
    return targets


def deviation(got, expected):
    """The largest difference relative to the largest entry of ``expected``, which must not be small."""
    got, expected = np.asarray(got), np.asarray(expected)
    assert got.shape == expected.shape
    assert np.isfinite(got).all()
    size = np.abs(expected).max()
    assert size > SMALLEST, f"the oracle's values are too small for a comparison: {size:.1e}"
    return np.abs(got - expected).max() / size


def deviations(explanation, expected):
    """``deviation`` for each target and field."""
    assert list(explanation.targets) == expected["targets"]
    out = {}
    for t, target in enumerate(expected["targets"]):
        for part in ("signed", "values"):
            out[target, part] = deviation(np.asarray(getattr(explanation, part))[:, t], expected[part][:, t])
        # A target's maps may have only one sign, so both signs are compared together.
        parts = [np.stack([np.asarray(getattr(explanation, sign))[:, t] for sign in ("positive", "negative")])]
        parts += [np.stack([expected[sign][:, t] for sign in ("positive", "negative")])]
        out[target, "split"] = deviation(*parts)
    assert set(explanation.mixture) == set(expected["mixture"])
    for target, weights in expected["mixture"].items():
        out[target, "mixture"] = deviation(explanation.mixture[target], weights)
    return out


GRID = [
    Setting(activation, classes, pool)
    for activation in ("sigmoid", "relu")
    for classes in (NUMBERS, ANIMALS)
    for pool in (False, True)
]
GRID += [Setting("sigmoid", ANIMALS, whiten=True)]

EXTRAS = {
    "odd-rows-pooled": Setting("relu", NUMBERS, True, maps_shape=(5, 7, 3)),
    "equal-entries-pooled": Setting("sigmoid", ANIMALS[:4], True, tied=True, seed=1),
    "maps-with-zeros": Setting("relu", ANIMALS[:4], tied=True, seed=2),
    "scaler-before-svm": Setting("relu", ANIMALS[:3], scaled=True, seed=3),
    "no-pca": Setting("sigmoid", ANIMALS[:3], components=None, seed=4),
    # In these two, one image has a predicted class that a naive rule misses: test_predicted_class_is_not_the_naive_one.
    "votes-not-margins": Setting("relu", ANIMALS, maps_shape=(3, 3, 2), seed=2),
    "ties-broken": Setting("sigmoid", ANIMALS, maps_shape=(3, 3, 2), break_ties=True, seed=54),
}


def random_setting(seed):
    """A head of random shapes and depth."""
    rng = np.random.default_rng([seed, 20250811])
    layers, pool = int(rng.integers(1, 5)), bool(rng.integers(2))
    return Setting(
        activation=("sigmoid", "relu")[int(rng.integers(2))],
        classes=ANIMALS[: int(rng.integers(2, 5))],
        pool=pool,
        maps_shape=(*(int(n) for n in rng.integers(2 if pool else 1, 6, size=2)), int(rng.integers(1, 6))),
        widths=tuple(int(n) for n in rng.integers(4, 10, size=layers)),
        at=int(rng.integers(1, layers + 1)),
        components=int(rng.integers(1, 4)),
        gamma=float(rng.uniform(0.2, 1.5)),
        seed=seed,
    )


# --- the library against the oracle -----------------------------------------------------------------------------------


def library_head(setting):
    """The same head, built by the library from the same raw parts."""
    head, _, _ = make_case(setting)
    return pcacam_jax.hybrid_head(
        head.dense,
        maps_shape=setting.maps_shape,
        pca=head.pca,
        svms=head.svms,
        at=setting.at,
        activation=setting.activation,
        pool=setting.pool,
    )


def compare(setting, method="gradcam"):
    """The deviations of ``pcacam_jax.explain`` from the oracle, all within the tolerance."""
    expected_head, maps, _ = make_case(setting)
    head = library_head(setting)
    targets = all_targets(setting)
    explanation = pcacam_jax.explain(head, maps, targets, method=method, backend="closed_form")
    errors = deviations(explanation, expected_head.explain(maps, targets, method))
    assert not {key: error for key, error in errors.items() if error > TOLERANCE}
    return errors


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("setting", GRID, ids=str)
def test_library_equals_oracle(setting):
    compare(setting, "hirescam")


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("setting", [more(each) if n % 3 else each for n, each in enumerate(GRID)], ids=str)
def test_library_equals_oracle_for_the_method_of_the_paper(setting):
    compare(setting, "gradcam")


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("name", EXTRAS)
@pytest.mark.parametrize("method", ["hirescam", more("gradcam")])
def test_library_equals_oracle_in_special_cases(name, method):
    compare(EXTRAS[name], method)


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("seed", [0, 1, 2, *map(more, range(3, 8))])
def test_library_equals_oracle_on_random_shapes(seed):
    compare(random_setting(seed), "hirescam" if seed % 2 else "gradcam")


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("setting", GRID, ids=str)
def test_library_outputs_equal_oracle(setting):
    expected, maps, _ = make_case(setting)
    outputs = library_head(setting)(maps[0])
    v = expected.features(maps[0])
    assert deviation(outputs["cnn"], expected.states(maps[0])[-1][1]) <= TOLERANCE
    assert deviation(outputs["pca"], v) <= TOLERANCE
    for name, svc in expected.svms.items():
        assert deviation(outputs[name], oracle.margins(svc, v)) <= TOLERANCE


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("setting", [GRID[0], GRID[5], GRID[-1]], ids=str)
def test_library_stage_jacobians_equal_oracle(setting):
    head, maps, _ = make_case(setting)
    states = head.states(maps[0])
    for n, (kernel, bias) in enumerate(head.dense[1:-1], start=2):
        stage = pcacam_jax.Dense(kernel=kernel, bias=bias, activation=setting.activation)
        derivative = pcacam_jax.jacobian(stage, states[n - 2][1])
        assert deviation(derivative, head.layer_jacobian(n, maps[0])) <= TOLERANCE
    derivative = pcacam_jax.jacobian(pcacam_jax.from_sklearn(head.pca), head.x_m(maps[0]))
    assert deviation(derivative, oracle.pca_matrix(head.pca)) <= TOLERANCE


def test_a_wrong_factor_is_detected():
    head, maps, _ = make_case(GRID[0])
    expected = head.explain(maps, all_targets(GRID[0]))
    for part in ("signed", "values"):
        for t in range(len(expected["targets"])):
            assert deviation(expected[part][:, t] * (1 + 1e-8), expected[part][:, t]) > TOLERANCE
    for weights in expected["mixture"].values():
        assert deviation(weights * (1 + 1e-8), weights) > TOLERANCE


# --- the oracle against scikit-learn ----------------------------------------------------------------------------------


@pytest.mark.parametrize("setting", [*GRID, EXTRAS["votes-not-margins"], EXTRAS["ties-broken"]], ids=str)
def test_oracle_equals_scikit_learn(setting):
    head, maps, train = make_case(setting)
    images = [*maps, *train]
    v = np.array([head.features(one) for one in images])
    np.testing.assert_allclose(v, head.pca.transform([head.x_m(one) for one in images]), rtol=1e-12, atol=1e-12)
    for svc in head.svms.values():
        ours = np.array([list(oracle.pair_values(svc, row).values()) for row in v])
        if len(svc.classes_) == 2:
            np.testing.assert_allclose(-ours[:, 0], svc.decision_function(v), rtol=1e-11, atol=1e-11)
        else:
            ratios = [oracle.one_vs_rest(svc, row) for row in v]
            np.testing.assert_allclose(ratios, svc.decision_function(v), rtol=1e-11, atol=1e-11)
        if not svc.break_ties:  # scikit-learn allows break_ties with 'ovr' only
            svc.decision_function_shape = "ovo"
            theirs = svc.decision_function(v)
            svc.decision_function_shape = "ovr"
            np.testing.assert_allclose(ours if ours.shape[1] > 1 else -ours[:, 0], theirs, rtol=1e-11, atol=1e-11)
        predicted = [svc.classes_[oracle.predicted_class(svc, row)] for row in v]
        np.testing.assert_array_equal(predicted, svc.predict(v))
        assert len(set(predicted)) > 1


@pytest.mark.parametrize(("name", "naive"), [("votes-not-margins", oracle.margins), ("ties-broken", oracle.votes)])
def test_predicted_class_is_not_the_naive_one(name, naive):
    head, maps, _ = make_case(EXTRAS[name])
    pairs = [(svc, head.features(one)) for svc in head.svms.values() for one in maps]
    assert any(oracle.predicted_class(svc, v) != np.argmax(naive(svc, v)) for svc, v in pairs)


def test_oracle_reads_a_pipeline_as_scikit_learn_does():
    head, _, train = make_case(EXTRAS["scaler-before-svm"])
    v = np.array([head.features(one) for one in train])
    for name, pipeline in head.svms.items():
        inputs = [head.svc_input(name, row) for row in v]
        ratios = [oracle.one_vs_rest(svc, z) for svc, z, _ in inputs]
        np.testing.assert_allclose(ratios, pipeline.decision_function(v), rtol=1e-11, atol=1e-11)


# --- the oracle against central differences ---------------------------------------------------------------------------


def central_differences(function, x, step=1e-5):
    """The Jacobian (outputs, inputs) of a function of an array."""
    columns = []
    for index in np.ndindex(x.shape):
        ahead, behind = x.copy(), x.copy()
        ahead[index] += step
        behind[index] -= step
        columns.append((np.ravel(function(ahead)) - np.ravel(function(behind))) / (2 * step))
    return np.array(columns).T


@pytest.mark.parametrize(
    "setting",
    [*map(more, GRID[:6]), *GRID[6:], EXTRAS["odd-rows-pooled"], EXTRAS["scaler-before-svm"], EXTRAS["no-pca"]],
    ids=str,
)
def test_oracle_jacobians_equal_central_differences(setting):
    head, maps, _ = make_case(setting)
    maps = maps[0]
    assert deviation(head.feature_jacobian(maps), central_differences(head.features, maps)) < 1e-7
    assert deviation(head.cnn_jacobian(maps), central_differences(lambda x: head.states(x)[-1][1], maps)) < 1e-7
    v = head.features(maps)
    for name in head.svms:
        svc, z, _ = head.svc_input(name, v)
        differences = central_differences(lambda z, svc=svc: list(oracle.pair_values(svc, z).values()), z)
        assert deviation(list(oracle.pair_gradients(svc, z).values()), differences) < 1e-7
        target = f"{name}:{svc.classes_[-1]}"
        differences = central_differences(lambda x, target=target: head.value(target, x), maps)
        assert deviation(head.gradient(target, maps).reshape(1, -1), differences) < 1e-7


def test_oracle_layers_equal_central_differences():
    for activation in ("sigmoid", "relu"):
        head, maps, _ = make_case(Setting(activation))
        states = head.states(maps[0])
        for n, (weight, bias) in enumerate(head.dense[1:], start=2):
            last = n == len(head.dense)

            def layer(x, weight=weight, bias=bias, last=last, activation=activation):
                u = weight.T @ x + bias
                return u if last else oracle.activate(activation, u)

            differences = central_differences(layer, states[n - 2][1])
            assert deviation(head.layer_jacobian(n, maps[0]), differences) < 1e-7


# --- the oracle against hand-worked numbers ---------------------------------------------------------------------------


def test_oracle_heatmap_by_hand():
    maps = np.array([[[1.0, 2.0], [3.0, 4.0]], [[5.0, 6.0], [7.0, -8.0]]])
    kernel = np.array([1.0, -1.0, 2.0, -2.0, 3.0, -3.0, 6.0, -10.0])[:, None]  # map 0: 1, 2, 3, 6; map 1: -1 ... -10
    head = oracle.Oracle([(kernel, np.zeros(1)), (np.array([[2.0, 1.0]]), np.zeros(2))], at=1, activation="relu")
    explained = head.explain(maps[None], ["cnn:0"])
    # u_1 = 1 - 2 + 6 - 8 + 15 - 18 + 42 + 80 = 116; a = 2 * (12 / 4, -16 / 4) = (6, -8)
    assert explained["values"][0, 0] == 232.0
    np.testing.assert_array_equal(explained["signed"][0, 0], [[-10.0, -14.0], [-18.0, 106.0]])
    np.testing.assert_array_equal(explained["positive"][0, 0], [[0.0, 0.0], [0.0, 106.0]])
    np.testing.assert_array_equal(explained["negative"][0, 0], [[10.0, 14.0], [18.0, 0.0]])


def test_oracle_pool_takes_the_first_maximum_and_drops_odd_rows():
    maps = np.array([[1.0, 5.0, 9.0], [5.0, 5.0, 9.0], [9.0, 9.0, 9.0]])[:, :, None]
    np.testing.assert_array_equal(oracle.max_pool(maps), [[[5.0]]])
    np.testing.assert_array_equal(oracle.max_pool_jacobian(maps), [[0, 1, 0, 0, 0, 0, 0, 0, 0]])


def test_oracle_slopes_at_a_kink_and_a_support_vector():
    np.testing.assert_array_equal(oracle.slope("relu", np.array([-1.0, 0.0, 1.0])), [0.0, 0.0, 1.0])
    np.testing.assert_array_equal(oracle.slope("sigmoid", np.array([0.0])), [0.25])
    svc, s = SVC(kernel="rbf", gamma=2.0), np.array([1.0, -1.0])
    np.testing.assert_array_equal(oracle.kernel_gradient(svc, s, s), [0.0, 0.0])
    peak = oracle.kernel_gradient(svc, s, s + np.array([0.5, 0.0]))  # d* = 1 / sqrt(2 gamma), Theorem 2
    np.testing.assert_allclose(np.linalg.norm(peak), 2.0 * np.exp(-0.5), rtol=1e-14)


@pytest.mark.parametrize("setting", [GRID[0], GRID[3], GRID[-1]], ids=str)
def test_oracle_svm_map_is_a_mixture_of_pca_maps(setting):
    head, maps, _ = make_case(setting)
    names = [f"{name}:predicted" for name in head.svms]
    explained = head.explain(maps, ["pca", *names])
    components = explained["signed"][:, : setting.components]
    for t, name in enumerate(names, start=setting.components):
        mixed = np.einsum("br,brij->bij", explained["mixture"][name], components)
        assert deviation(mixed, explained["signed"][:, t]) < 1e-12
