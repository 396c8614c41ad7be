"""Every public function answers values of any type, shape and dtype with a result or with one sentence of its own."""

import dataclasses
import inspect
import itertools
import traceback
import warnings
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from support import cases, valid_arguments
from support.any_values import MAPS, PICTURES, kinds, values
from support.valid_arguments import axes, functions, mappable

import pcacam_jax
from pcacam_jax import InputError, data, plots
from pcacam_jax.core.checks import check_device

PACKAGE = str(Path(pcacam_jax.__file__).parent)
FUNCTIONS = [
    *(getattr(pcacam_jax, name) for name in pcacam_jax.__all__),
    *(getattr(plots, name) for name in plots.__all__),
    data.read_dataset,
    data.load_image,
    valid_arguments.panel_of_arrays,
    valid_arguments.grid_of_arrays,
    valid_arguments.grid_with_predictions,
    valid_arguments.card_of_arrays,
    valid_arguments.evidence_of_arrays,
    valid_arguments.explain_images,
    valid_arguments.method_options,
    valid_arguments.head_of_kernel,
    valid_arguments.head_of_svm,
    valid_arguments.head_of_names,
    valid_arguments.check_of_values,
    valid_arguments.torch_layer,
    valid_arguments.keras_layer,
    valid_arguments.norm_of,
]
FUNCTIONS = [function for function in FUNCTIONS if inspect.isfunction(function)]
FIGURES = [
    function
    for function in FUNCTIONS
    if "_of_arrays" in function.__name__
    or function is valid_arguments.grid_with_predictions
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
