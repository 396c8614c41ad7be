"""The examples of the documentation for PyTorch, Keras and ONNX Runtime, on small networks."""

import re
from pathlib import Path

import jax
import numpy as np
import onnx
import pytest
from onnx import numpy_helper

PAGE = (Path(__file__).parents[2] / "docs" / "how_to" / "own_features.md").read_text()
BLOCKS = re.findall(r"^```(?:\{code-block\} )?python\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
IMAGES = np.random.default_rng(0).random((60, 3, 6, 6), np.float32)


def block(start):
    """The one block of the page that begins so."""
    (text,) = [text for text in BLOCKS if text.startswith(start)]
    return text


def run(start, **names):
    """Run one framework's block, then the block that builds the head, checks it and explains."""
    names["np"] = np
    exec(block(start), names)
    exec(block("from pcacam_jax import check_outputs"), names)
    return names


def test_pytorch_example_gives_the_maps_of_autodiff(torch):
    nn = torch.nn
    torch.manual_seed(0)

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.features = nn.Sequential(nn.Conv2d(3, 6, 3), nn.ReLU())
            self.classifier = nn.Sequential(nn.Linear(96, 8), nn.ReLU(), nn.Dropout(), nn.Linear(8, 3))

    with jax.enable_x64(True):
        net = Net().double()
        names = run("import torch", net=net, images=torch.from_numpy(IMAGES).double())
        assert max(names["errors"].values()) < 1e-12
        tapped = names["tapped"].requires_grad_()
        component = net.classifier[:2](tapped.flatten(1)) @ torch.tensor(names["pca"].components_[0])
        (gradient,) = torch.autograd.grad(component.sum(), tapped)
        expected = (gradient.mean(dim=(2, 3), keepdim=True) * tapped).sum(dim=1).detach().numpy()[:8]
        found = np.asarray(names["explanation"].signed[:, 0])
        assert np.abs(found - expected).max() <= 1e-12 * np.abs(expected).max()


def test_keras_example_runs(keras):
    keras.utils.set_random_seed(0)
    layers = keras.layers
    stack = [
        layers.Conv2D(6, 3, activation="relu", name="tap"),
        layers.Flatten(),
        layers.Dense(8, "relu"),
        layers.Dense(3),
    ]
    net = keras.Sequential([keras.Input((6, 6, 3)), *stack])
    names = run("import keras", net=net, images=IMAGES.transpose(0, 2, 3, 1))
    assert max(names["errors"].values()) < 1e-5


def test_onnx_runtime_example_runs(tmp_path, monkeypatch):
    random = np.random.default_rng(0)
    arrays = {
        "kernel": random.normal(size=(6, 3, 3, 3)) / 5,
        "fc1.weight": random.normal(size=(8, 96)) / 10,
        "fc1.bias": random.normal(size=8) / 10,
        "fc2.weight": random.normal(size=(3, 8)) / 3,
        "fc2.bias": random.normal(size=3) / 10,
    }
    node = onnx.helper.make_node
    graph = onnx.helper.make_graph(
        [
            node("Conv", ["images", "kernel"], ["convolved"]),
            node("Relu", ["convolved"], ["tap"]),
            node("Flatten", ["tap"], ["flat"]),
            node("Gemm", ["flat", "fc1.weight", "fc1.bias"], ["preactivation"], transB=1),
            node("Relu", ["preactivation"], ["hidden"]),
            node("Gemm", ["hidden", "fc2.weight", "fc2.bias"], ["logits"], transB=1),
        ],
        "net",
        [onnx.helper.make_tensor_value_info("images", onnx.TensorProto.FLOAT, ["n", 3, 6, 6])],
        [onnx.helper.make_tensor_value_info("logits", onnx.TensorProto.FLOAT, ["n", 3])],
        [numpy_helper.from_array(array.astype(np.float32), name) for name, array in arrays.items()],
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, str(tmp_path / "net.onnx"))
    monkeypatch.chdir(tmp_path)
    names = run("import onnx", images=IMAGES)
    assert max(names["errors"].values()) < 1e-5
    assert names["explanation"].signed.shape == (8, 4, 4, 4)


def test_each_framework_has_its_example():
    assert len([text for text in BLOCKS if re.match(r"import (torch|keras|onnx)\n", text)]) == 3
    with pytest.raises(ValueError, match="unpack"):
        block("import tensorflow")
