"""The public names, their signatures, and the libraries that importing them loads."""

import dataclasses
import inspect
import re
import subprocess
import sys

import jax.numpy as jnp
import numpy as np
import pytest
from support import cases

import pcacam_jax
from pcacam_jax.core.types import NOTATION

LAZY = ("flax", "sklearn", "tensorflow_datasets", "matplotlib", "safetensors", "PIL", "optax", "rich", "tyro")


def python(script, folder):
    """Run a script in a new interpreter, with warnings as errors, outside the checkout."""
    process = subprocess.run([sys.executable, "-W", "error", "-c", script], cwd=folder, capture_output=True, text=True)
    assert process.returncode == 0, process.stderr
    return process.stdout.split()


def test_importing_the_package_imports_no_large_library(tmp_path):
    script = f"""
import sys
import pcacam_jax
print("loaded:", *({set(LAZY)!r} & set(sys.modules)))
pcacam_jax.from_sklearn
print("then:", *({{"sklearn", "flax", "tensorflow_datasets", "matplotlib"}} & set(sys.modules)))
"""
    assert python(script, tmp_path) == ["loaded:", "then:", "sklearn"]


def test_heads_from_numpy_and_scikit_learn_do_not_import_flax(tmp_path):
    network = cases.network()
    np.savez(tmp_path / "dense.npz", *[array for pair in network.dense for array in pair])
    np.save(tmp_path / "maps.npy", network.maps)
    script = """
import sys
import numpy as np
from sklearn.decomposition import PCA
from sklearn.svm import SVC
import pcacam_jax

arrays = list(np.load("dense.npz").values())
dense, maps = list(zip(arrays[::2], arrays[1::2])), np.load("maps.npy")
x = maps.reshape(len(maps), -1)
for kernel, bias in dense[:2]:
    x = np.maximum(x @ kernel + bias, 0)
pca = PCA(2).fit(x)
svm = SVC().fit(pca.transform(x), ["a", "b", "a", "b", "a", "b", "a"])
head = pcacam_jax.hybrid_head(dense, maps_shape=maps.shape[1:], pca=pca, svms={"svm": svm})
explanation = pcacam_jax.explain(head, maps, ["pca", "svm:predicted", "cnn:0"])
assert explanation.signed.shape == (7, 4, 3, 4)
np.testing.assert_allclose(explanation.values[:, :2], pca.transform(x), rtol=1e-3, atol=1e-3)
print(*explanation.labels[:, 2])
print(*svm.predict(pca.transform(x)))
print("flax" in sys.modules, "optax" in sys.modules)
"""
    *labels, flax, optax = python(script, tmp_path)
    assert labels[:7] == labels[7:]
    assert (flax, optax) == ("False", "False")


def test_every_public_name_exists():
    assert pcacam_jax.__all__ == sorted(set(pcacam_jax.__all__), key=pcacam_jax.__all__.index)
    for name in pcacam_jax.__all__:
        assert getattr(pcacam_jax, name) is not None
    assert set(pcacam_jax._LAZY) <= set(pcacam_jax.__all__)
    imported = {
        name
        for name, value in vars(pcacam_jax).items()
        if not name.startswith("_") and (inspect.isclass(value) or inspect.isfunction(value))
    }
    assert imported <= set(pcacam_jax.__all__)
    with pytest.raises(AttributeError, match="module 'pcacam_jax' has no attribute 'explian'"):
        pcacam_jax.explian  # noqa: B018


def parameters(function):
    return {
        name: (parameter.kind.name, parameter.default)
        for name, parameter in inspect.signature(function).parameters.items()
    }


REQUIRED = inspect.Parameter.empty
POSITIONAL, KEYWORD = "POSITIONAL_OR_KEYWORD", "KEYWORD_ONLY"


def test_signatures_of_the_public_functions():
    signature = parameters(pcacam_jax.from_sklearn)
    assert signature["estimator"] == (POSITIONAL, REQUIRED)
    assert signature["output"] == (KEYWORD, None)
    assert parameters(pcacam_jax.jacobian) == {
        "stage": (POSITIONAL, REQUIRED),
        "x": (POSITIONAL, REQUIRED),
        "backend": (KEYWORD, "closed_form"),
    }
    signature = parameters(pcacam_jax.hybrid_head)
    assert signature["dense"] == (POSITIONAL, REQUIRED)
    assert signature["maps_shape"] == (KEYWORD, REQUIRED)
    assert [signature[name] for name in ("pca", "at", "activation")] == [
        (KEYWORD, None),
        (KEYWORD, None),
        (KEYWORD, "relu"),
    ]
    assert signature["svms"][0] == KEYWORD
    assert parameters(pcacam_jax.explain) == {
        "head": (POSITIONAL, REQUIRED),
        "maps": (POSITIONAL, REQUIRED),
        "targets": (POSITIONAL, REQUIRED),
        "method": (KEYWORD, "hirescam"),
        "backend": (KEYWORD, "closed_form"),
        "batch_size": (KEYWORD, None),
        "scale_free": (KEYWORD, False),
        "columns": (KEYWORD, None),
        "images": (KEYWORD, None),
        "backbone": (KEYWORD, None),
        "samples": (KEYWORD, None),
        "noise": (KEYWORD, 0.15),
        "seed": (KEYWORD, 0),
    }
    assert [field.name for field in dataclasses.fields(pcacam_jax.Dense)] == ["kernel", "bias", "activation"]
    assert {"positive", "negative", "signed", "values", "targets"} <= set(dir(pcacam_jax.Explanation)) | {
        field.name for field in dataclasses.fields(pcacam_jax.Explanation)
    }


def test_errors_are_value_errors():
    assert issubclass(pcacam_jax.InputError, ValueError)


def test_a_dense_layer():
    layer = pcacam_jax.Dense(kernel=jnp.array([[1.0], [2.0]]), bias=jnp.array([-1.0]), activation="relu")
    np.testing.assert_array_equal(layer(jnp.ones(2)), [2.0])


def test_the_names_of_the_notation_table_exist():
    network = cases.network()
    head, table = network.head, {line.symbol: line.name for line in NOTATION}
    maps = jnp.asarray(network.maps[0], "float32")
    v = head.components(maps)
    values = {
        "F": maps,
        "x_0": pcacam_jax.Flatten(maps.shape)(maps),
        "W_n, b_n": head.dense.stages[0].kernel.T,
        "u_n": head.dense.stages[0].preactivation(maps.reshape(-1)),
        "x_m": head.trunk(maps),
        "P, mu": head.pca.matrix.T,
        "v": head(maps)["pca"],
        "s_i": head.svms["svm_rbf"].pairs.support,
        "alpha_i t_i": head.svms["svm_rbf"].pairs.coefficients,
        "g": head.svms["svm_rbf"].pairs(v),
        "s_c": head(maps)["svm_rbf"],
        "y": head(maps)["cnn"],
    }
    ranks = {"F": 3, "W_n, b_n": 2, "P, mu": 2, "s_i": 2, "alpha_i t_i": 2}
    assert {symbol: value.ndim for symbol, value in values.items()} == {
        symbol: ranks.get(symbol, 1) for symbol in values
    }
    np.testing.assert_array_equal(values["v"], v)
    assert set(values) | {"f", "m", "k", "a_k", "L", "L_i", "L+, L-", "d*"} == set(table)
    for line in NOTATION:
        for name in re.findall(r"\b[A-Z]\w+", line.name):
            assert hasattr(pcacam_jax, name) or hasattr(pcacam_jax.stages, name)
