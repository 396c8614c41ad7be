"""Every public function answers values of any type, shape and dtype with a result or with one sentence of its own."""

import dataclasses
import functools
import inspect
import itertools
import traceback
import warnings
from decimal import Decimal
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from matplotlib.figure import Figure
from scipy import sparse
from sklearn.decomposition import PCA
from sklearn.svm import SVC
from support import cases

import pcacam_jax
from pcacam_jax import InputError, data, plots
from pcacam_jax.core.checks import check_device

PACKAGE = str(Path(pcacam_jax.__file__).parent)
MAPS = np.abs(np.random.default_rng(0).normal(size=(2, 3, 4, 5))).astype(np.float32)
PICTURES = np.random.default_rng(0).integers(0, 256, (1, 32, 32, 3), np.uint8)
IMAGE = np.zeros((6, 8, 3), np.uint8)


class Opaque:
    """An object of which nothing can be asked."""

    def __array__(self, dtype=None, copy=None):
        raise KeyError("no array")

    def __repr__(self):
        raise ValueError("no representation")


def values():
    """Return values of all kinds; iterators are new each time."""
    return [
        None, True, -1, 0, 2.5, float("nan"), float("inf"), 10**30, 1j, Decimal(1),
        "", "x", "pca\x00", "$x", "long" * 3000, b"bytes", [], (), {}, set(), {1, 2}, {"cnn": 1}, {1: None},
        [None], ["pca", 1], [[1], [1, 2]], (2, 3), (2.0, 3, 4), (0, 3, 4), (10**10, 3, 4), range(3), int, len, object(),
        np.array(3.0), np.float32(2), np.int64(1), np.zeros(0), np.zeros((0, 3, 4, 5)), MAPS[0], MAPS[None],
        np.zeros(2, [("a", "f4")]), jax.random.key(0), np.dtype("f4"),
        jax.ShapeDtypeStruct(MAPS.shape, "float32"), memoryview(b"abc"), slice(1), Ellipsis, Opaque(), PCA(2), SVC(),
        (number for number in range(3)), iter([1]), np.random, warnings,
        ["a", "b"], [2, 3], [0.5, -0.5], [1, 1j], [True, False], np.array(["a", "b"]), np.array([{}, None], object),
        np.array([1, 1j]), np.ma.masked, np.ma.array([1.0, 2.0], mask=[True, False]), np.array([1, 2], ">i8"),
        sparse.csr_matrix(np.eye(2)), sparse.coo_array(np.eye(2)), {"cnn": MAPS[:, 0]},
        {"cnn": None}, *tables(),
    ]  # fmt: skip


def kinds(array):
    """Return an array in many dtypes and classes."""
    dtypes = (">f4", ">i2", "f2", "g", complex, object, str, "S9", bool, "M8[s]", "m8[s]", [("a", "f4")])
    return [
        *(array.astype(dtype) for dtype in dtypes),
        np.ma.MaskedArray(array, array > 1),
        np.full(array.shape, np.nan),
        np.full(array.shape, 1e300),
        np.full(array.shape, None),
        jnp.asarray(array, jnp.bfloat16),
        array.tolist(),
        array[:0],
    ]


def tables():
    """Return data frames, if pandas is installed."""
    try:
        import pandas
    except ImportError:
        return []
    frame = pandas.DataFrame({"a": [1.0, 2.0], "b": ["x", None]})
    return [frame, frame["a"], frame["b"], pandas.NA, pandas.Timestamp(0)]


def axes():
    return Figure().add_subplot()


def mappable():
    return axes().imshow(np.eye(2))


def side():
    return plots.Side([IMAGE], ["a"], np.ones(1), np.ones((1, 2, 2)))


def panel_of_arrays(names, positive, negative, values, vanished=None, scale_free=None, comparison=None, typical=None):
    options = {"vanished": vanished, "scale_free": scale_free, "comparison": comparison, "typical": typical}
    return plots.explanation_panel(IMAGE, names, positive, negative, values, **options)


def grid_of_arrays(classifiers, components, truth=None, predictions=None, vanished=None):
    options = {"truth": truth, "predictions": predictions, "vanished": vanished}
    return plots.paper_grid([IMAGE, IMAGE], classifiers, components, **options)


def grid_with_predictions(predictions, vanished):
    table = {"predictions": {"cnn": predictions}, "vanished": {"cnn": vanished}}
    return plots.paper_grid([IMAGE, IMAGE], {"cnn": MAPS[:, 0]}, truth=["a", "b"], **table)


def card_of_arrays(images, names, values, maps, vanished):
    return plots.component_cards([(plots.Side(images, names, values, maps, vanished), side())], [0.6])


def head_of_kernel(kernel, bias):
    return pcacam_jax.hybrid_head([(kernel, bias)], maps_shape=(3, 4, 5), at=1)


def head_of_svm(svm):
    network = cases.network()
    return pcacam_jax.hybrid_head(network.dense, pca=network.pca, svms={"svm": svm}, **network.options)


def head_of_names(cnn):
    return pcacam_jax.hybrid_head([(np.ones((60, 2)), np.zeros(2))], maps_shape=(3, 4, 5), class_names={"cnn": cnn})


def check_of_values(pca):
    return pcacam_jax.check_outputs(cases.network().head, MAPS, {"pca": pca}, tolerance=1e9)


def torch_layer(kernel, bias):
    return pcacam_jax.dense_from_torch([(kernel, bias)], maps_shape=(3, 4, 5))


def keras_layer(kernel, bias):
    return pcacam_jax.dense_from_keras([(kernel, bias)], maps_shape=(3, 4, 5))


def norm_of(mean, variance, scale, shift, epsilon):
    return pcacam_jax.fold_batch_norm(
        np.ones((2, 8)), None, pcacam_jax.BatchNorm(mean, variance, scale, shift, epsilon)
    )


SUPPORT = {
    "images": [IMAGE],
    "names": ["a"],
    "maps": np.ones((1, 2, 2)),
    "shares": np.ones(1),
    "coefficients": np.ones(1),
    "distances": np.ones(1),
    "influences": np.ones(1),
}


def evidence_of_arrays(images, names, maps, shares, coefficients, distances, influences):
    support = plots.SupportImages(images, names, maps, shares, coefficients, distances, influences)
    return plots.decision_evidence(IMAGE, np.eye(2), support, np.eye(2), title="a", others=3)


@functools.cache
def functions():
    """Return valid arguments by function; an argument ``axes`` is made for each call."""
    network = cases.network()
    head, norm = network.head, pcacam_jax.BatchNorm(np.zeros(8), np.ones(8))
    explanation = pcacam_jax.explain(head, MAPS, ["pca", "cnn:0"])
    return {
        pcacam_jax.hybrid_head: {
            "dense": network.dense,
            "pca": network.pca,
            "svms": network.svms,
            "class_names": None,
            "output": None,
            "pool": False,
            "flattened": "channels_last",
            "before_activation": False,
            **network.options,
        },
        pcacam_jax.explain: {
            "head": head,
            "maps": MAPS,
            "targets": "pca",
            "method": "gradcam",
            "backend": "closed_form",
            "batch_size": None,
            "scale_free": False,
        },
        pcacam_jax.decompose: {"head": head, "maps": MAPS, "target": "svm_rbf:ant", "batch_size": None},
        pcacam_jax.evidence: {
            "head": head,
            "maps": MAPS,
            "target": "svm_rbf:ant",
            "count": 2,
            "support": None,
            "scale_free": False,
            "batch_size": None,
        },
        pcacam_jax.check_outputs: {"head": head, "maps": MAPS, "expected": {"pca": np.zeros((2, 3))}, "tolerance": 1e9},
        pcacam_jax.verify: {
            "stage": pcacam_jax.Elementwise("tanh", 2),
            "x": np.ones(2),
            "dtypes": ("float32",),
            "witnesses": ("reverse",),
        },
        pcacam_jax.certify: {"cases": [], "dtypes": ("float32",)},
        pcacam_jax.jacobian: {"stage": pcacam_jax.Elementwise("tanh", 2), "x": np.ones(2), "backend": "closed_form"},
        pcacam_jax.from_sklearn: {"estimator": network.pca, "output": None, "dtype": None},
        pcacam_jax.outputs_of: {"estimator": network.pca},
        pcacam_jax.influence: {"distance": 1.0, "gamma": 0.5},
        pcacam_jax.critical_distance: {"gamma": 0.5},
        pcacam_jax.maps_from_torch: {"maps": MAPS},
        pcacam_jax.dense_from_torch: {"layers": [(np.ones((2, 60)), None)], "maps_shape": (3, 4, 5)},
        pcacam_jax.dense_from_keras: {
            "layers": [(np.ones((60, 2)), None)],
            "maps_shape": (3, 4, 5),
            "flattened": "channels_last",
        },
        pcacam_jax.fold_batch_norm: {"kernel": np.ones((2, 8)), "bias": None, "norm": norm},
        pcacam_jax.fold_batch_norm_before: {"kernel": np.ones((8, 2)), "bias": None, "norm": norm, "positions": 1},
        pcacam_jax.batch_norm_of: {"layer": None},
        pcacam_jax.save: {"path": None, "stage": object()},
        pcacam_jax.restore: {"path": "none", "dtype": None},
        pcacam_jax.load: {"folder": "none"},
        data.read_dataset: {"source": "none", "class_names": None, "test_fraction": 0.2, "seed": 0},
        data.load_image: {"path": "none", "size": 32},
        plots.image: {"axes": axes, "image": IMAGE},
        plots.unknown: {"axes": axes, "image": IMAGE},
        plots.colour_bar: {"axes": axes, "mappable": mappable},
        plots.overlay_pair: {
            "positive_axes": axes,
            "negative_axes": axes,
            "image": IMAGE,
            "positive": np.eye(2),
            "negative": np.eye(2),
        },
        plots.overlay: {
            "axes": axes,
            "image": IMAGE,
            "heatmap": np.eye(2),
            "maximum": 1.0,
            "alpha": 0.5,
            "vanished": None,
        },
        plots.signed_overlay: {"axes": axes, "image": IMAGE, "heatmap": np.eye(2), "maximum": 1.0},
        plots.confusion_matrix: {"axes": axes, "matrix": np.eye(2), "class_names": ["a", "b"]},
        plots.contribution_ratios: {"axes": axes, "ratios": [0.5, 0.3]},
        plots.component_weights: {"axes": axes, "mixture": [0.5, -0.3]},
        plots.influence_curve: {"axes": axes, "gamma": 0.5, "distances": None},
        plots.learning_curve: {
            "axes": axes,
            "validation_accuracy": [0.1, 0.2],
            "train_accuracy": None,
            "best_epoch": None,
        },
        plots.feature_space: {
            "axes": axes,
            "features": np.ones((3, 2)),
            "labels": [0, 1, 1],
            "class_names": ["a", "b"],
            "support_vectors": None,
        },
        plots.explanation_panel: {"image": IMAGE, "explanation": explanation, "example": 0},
        panel_of_arrays: {"names": ["a", "b"], "positive": MAPS[:, 0], "negative": MAPS[:, 1], "values": [1, 2]},
        plots.paper_grid: {"images": [IMAGE, IMAGE], "explanation": explanation},
        grid_of_arrays: {"classifiers": {"cnn": MAPS[:, 0]}, "components": MAPS[:, :2]},
        grid_with_predictions: {"predictions": ["a", "b"], "vanished": None},
        plots.component_cards: {"cards": [(side(), side())], "ratios": [0.6]},
        card_of_arrays: side()._asdict(),
        plots.decision_evidence: {
            "image": IMAGE,
            "signed": np.eye(2),
            "support_images": plots.SupportImages(**SUPPORT),
            "rest": np.eye(2),
            "title": "a",
            "others": 3,
        },
        evidence_of_arrays: SUPPORT,
        head_of_kernel: {"kernel": np.ones((60, 2)), "bias": np.zeros(2)},
        head_of_svm: {},
        head_of_names: {},
        check_of_values: {"pca": np.zeros((2, 3))},
        torch_layer: {"kernel": np.ones((2, 60)), "bias": None},
        keras_layer: {"kernel": np.ones((60, 2)), "bias": None},
        norm_of: {"mean": np.ones(8), "variance": np.ones(8), "scale": None, "shift": None, "epsilon": 0.001},
        plots.save: {"figure": None, "path": "none.png", "dpi": 50, "overwrite": False},
    }


FUNCTIONS = [
    *(getattr(pcacam_jax, name) for name in pcacam_jax.__all__),
    *(getattr(plots, name) for name in plots.__all__),
    data.read_dataset,
    data.load_image,
    panel_of_arrays,
    grid_of_arrays,
    grid_with_predictions,
    card_of_arrays,
    evidence_of_arrays,
    head_of_kernel,
    head_of_svm,
    head_of_names,
    check_of_values,
    torch_layer,
    keras_layer,
    norm_of,
]
FUNCTIONS = [function for function in FUNCTIONS if inspect.isfunction(function)]
FIGURES = [
    function
    for function in FUNCTIONS
    if "_of_arrays" in function.__name__
    or function is grid_with_predictions
    or function is plots.overlay_pair
    or inspect.signature(function).return_annotation == "Figure"
]
"""Functions whose results take long; their arguments meet a part of the values, in the exhaustive tests only."""


def each(chosen):
    return pytest.mark.parametrize(
        "function", chosen, ids=lambda function: f"{function.__module__}.{function.__name__}"
    )


def problem(function, options):
    """Return what is wrong with the answer of a function, or None."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            warnings.filterwarnings("ignore", "maps of shape .* look as if their channels came first")
            function(**options)
    except (InputError, TypeError) as error:
        frame = traceback.extract_tb(error.__traceback__)[-1]
        raised_in, line = frame.filename, frame.line or ""
        sentence = str(error).partition("\n--------------------")[0]  # JAX adds a note below a line
        if not raised_in.startswith(PACKAGE) or not line.startswith("raise "):
            return f"{error!r} was raised in {raised_in} by: {line}"
        return None if sentence.endswith(".") and "\n" not in sentence else f"not one sentence: {sentence!r}"
    except Exception as error:
        return repr(error)
    return None


def problems(function, options, chosen):
    """Replace each argument by the chosen values, of which there are new ones for each, and yield what goes wrong."""
    for name, parameter in inspect.signature(function).parameters.items():
        if parameter.kind is parameter.VAR_KEYWORD:
            continue
        for value in chosen(name):
            if function is pcacam_jax.certify and name == "cases" and value is None:
                continue  # it stands for all cases, which take a minute
            made = {
                key: option() if option is axes or option is mappable else option for key, option in options.items()
            }
            message = problem(function, {**made, name: value})
            if message is not None:
                yield name, type(value).__name__, message


def share(name, parts=8, array=MAPS):
    """Return a part of the values, another one for another argument."""
    return [*values(), *kinds(array)][sum(map(ord, name)) % parts :: parts]


@each([function for function in FUNCTIONS if function not in FIGURES])
def test_values_of_another_type_give_a_result_or_one_sentence(function, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert list(problems(function, functions()[function], share)) == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.exhaustive
@each(FIGURES)
def test_values_of_another_type_give_a_figure_or_one_sentence(function, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert list(problems(function, functions()[function], lambda name: share(name, 6))) == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.exhaustive
@each([function for function in FUNCTIONS if function not in FIGURES])
def test_more_values_give_a_result_or_one_sentence(function, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    options = functions()[function]
    suited = {name: option for name, option in options.items() if isinstance(option, np.ndarray)}
    assert list(problems(function, options, lambda name: share(name, 3, suited.get(name, MAPS)))) == []
    assert list(tmp_path.iterdir()) == []


def no_numbers(array):
    """Return an array as values that must not be read as real numbers."""
    dtypes = (complex, str, "S9", "M8[s]", "m8[s]", [("a", "f4")])
    return [*(array.astype(dtype) for dtype in dtypes), np.ma.MaskedArray(array), np.full(array.shape, None)]


@each(FUNCTIONS)
def test_arrays_of_no_real_numbers_are_rejected(function):
    options = functions()[function]
    for name, option in options.items():
        for value in no_numbers(option) if isinstance(option, np.ndarray) else ():
            made = {key: each() if each is axes or each is mappable else each for key, each in options.items()}
            with pytest.raises((InputError, TypeError)):
                function(**{**made, name: value})


METHODS = ("compare", "load_images", "features", "training_images", "support_expansion")


@pytest.mark.exhaustive
@pytest.mark.parametrize("method", [*METHODS, "explain"])
def test_methods_of_runs_give_a_result_or_one_sentence(method, small_world, run_folder, tmp_path, monkeypatch):
    run = pcacam_jax.load(run_folder)
    monkeypatch.chdir(tmp_path)
    options = {"images": PICTURES, "targets": "pca"} if method == "explain" else {}
    assert list(problems(getattr(run, method), options, lambda name: values() + kinds(PICTURES))) == []


def test_runs_compare_only_their_explanations(small_world, run_folder):
    run = pcacam_jax.load(run_folder)
    explanation = run.explain(PICTURES, "pca")
    run.compare(explanation)
    outputs = explanation.outputs
    for other in (None, {}, {"cnn": outputs["cnn"]}, {name: array[:, 1:] for name, array in outputs.items()}):
        with pytest.raises(InputError, match=r"^explanation must .*; make it with the method explain of the run\.$"):
            run.compare(dataclasses.replace(explanation, outputs=other))


CALLS = {
    "explain": lambda head, maps: pcacam_jax.explain(head, maps, "pca").values,
    "decompose": lambda head, maps: pcacam_jax.decompose(head, maps, "svm_rbf:ant").values,
    "evidence": lambda head, maps: pcacam_jax.evidence(head, maps, "svm_rbf:ant").values,
    "check_outputs": lambda head, maps: pcacam_jax.check_outputs(head, maps, {"pca": np.zeros((2, 3))}),
}
TRANSFORMED = {
    "jit": lambda call: jax.jit(lambda maps: call(cases.network().head, maps))(MAPS),
    "jit of the head": lambda call: jax.jit(lambda head: call(head, MAPS))(cases.network().head),
    "vmap": lambda call: jax.vmap(lambda maps: call(cases.network().head, maps))(MAPS[None]),
    "grad": lambda call: jax.grad(lambda maps: jnp.sum(call(cases.network().head, maps)))(MAPS),
    "eval_shape": lambda call: jax.eval_shape(lambda maps: call(cases.network().head, maps), MAPS),
}


@pytest.mark.parametrize(("call", "transformation"), [*itertools.product(CALLS, TRANSFORMED)])
def test_jax_transformations_are_rejected_in_one_sentence(call, transformation):
    with pytest.raises(
        InputError, match=rf"^{call} cannot run inside jax\.jit, jax\.vmap or jax\.grad, [^\n]*\.(\n|$)"
    ):
        TRANSFORMED[transformation](CALLS[call])


def test_a_device_that_does_not_exist_is_named(monkeypatch):
    def devices():
        raise RuntimeError("Unable to initialize backend 'rocm':\n not found (set JAX_PLATFORMS='' to choose)")

    head = cases.network().head
    check_device()
    monkeypatch.setattr(jax, "devices", devices)
    for call in (
        lambda: pcacam_jax.explain(head, MAPS, "pca"),
        lambda: cases.network().head,
        lambda: pcacam_jax.restore("none"),
    ):
        with pytest.raises(InputError, match=r"^JAX must have a device of the platforms .* finds none .*; set .*\.$"):
            call()
