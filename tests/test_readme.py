"""The README's Python runs as it stands, its notation table is the code's, and its commands are those of CI."""

import itertools
import re
from pathlib import Path

import numpy as np
import pytest
from sklearn.decomposition import PCA
from sklearn.svm import SVC

import pcacam_jax
from pcacam_jax import NOTATION, hybrid_head

ROOT = Path(__file__).parents[1]
REASON = 'not installed: pip install "pcacam_jax[frameworks]"'
README = (ROOT / "README.md").read_text()
PYTHON = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
SHELL = re.findall(r"```sh\n(.*?)```", README, re.DOTALL)


def block(start):
    """The one Python block of the README that begins so."""
    (found,) = [text for text in PYTHON if text.startswith(start)]
    return found


@pytest.fixture
def own_arrays():
    """What a reader of the README is said to have."""
    random = np.random.default_rng(0)
    maps = np.abs(random.normal(size=(40, 4, 4, 6))).astype("float32")
    sizes = (96, 8, 7, 5, 3)
    dense = [
        (random.normal(size=s).astype("float32") / 4, np.zeros(s[1], "float32")) for s in itertools.pairwise(sizes)
    ]
    image = random.integers(0, 256, (64, 64, 3), dtype=np.uint8)
    return {"maps": maps, "labels": random.integers(0, 3, 40), "dense": dense, "image": image}


def test_own_sklearn_example_runs(own_arrays, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for start in ("import numpy as np, pcacam_jax", "errors = pcacam", "from pcacam_jax import plots", "certificate ="):
        exec(block(start), own_arrays)
    assert own_arrays["explanation"].positive.shape == (8, 5, 4, 4)
    assert (tmp_path / "explanation.png").stat().st_size > 10_000


def test_pytorch_example_gives_the_maps_of_autodiff(x64):
    torch = pytest.importorskip("torch", reason=f"PyTorch is {REASON}")
    nn = torch.nn
    torch.manual_seed(0)

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.features = nn.Sequential(nn.Conv2d(3, 6, 3), nn.ReLU())
            self.classifier = nn.Sequential(nn.Linear(96, 8), nn.ReLU(), nn.Dropout(), nn.Linear(8, 3))

    net, images = Net().double().eval(), torch.randn(30, 3, 6, 6, dtype=torch.float64)
    names = {"net": net, "images": images, "labels": np.arange(30) % 3, "PCA": PCA, "SVC": SVC}
    exec(block("import torch"), names)
    assert max(names["errors"].values()) < 1e-12
    taken = names["taken"].requires_grad_()
    component = net.classifier[:2](taken.flatten(1)) @ torch.tensor(names["pca"].components_[0])
    (gradient,) = torch.autograd.grad(component.sum(), taken)
    expected = (gradient.mean(dim=(2, 3), keepdim=True) * taken).sum(dim=1).detach().numpy()
    found = np.asarray(names["explanation"].signed[:, 0])
    assert np.abs(found - expected).max() <= 1e-12 * np.abs(expected).max()


def test_keras_example_runs(monkeypatch):
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    keras = pytest.importorskip("keras", reason=f"Keras is {REASON}")
    keras.utils.set_random_seed(0)
    layers = keras.layers
    tap = layers.Conv2D(6, 3, activation="relu", name="tap")
    stack = [tap, layers.Flatten(), layers.Dense(8, "relu"), layers.Dense(3)]
    names = {
        "net": keras.Sequential([keras.Input((6, 6, 3)), *stack]),
        "images": np.random.default_rng(0).random((5, 6, 6, 3), dtype=np.float32),
        "hybrid_head": hybrid_head,
        "layouts": pcacam_jax.layouts,
        "check_outputs": pcacam_jax.check_outputs,
    }
    exec(block("import keras"), names)
    assert names["errors"]["cnn"] < 1e-5


def test_numpy_and_disk_examples_run(own_arrays, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = {**own_arrays, "PCA": PCA, "hybrid_head": hybrid_head, "pcacam_jax": pcacam_jax}
    exec(block("pooled = PCA"), names)
    before = names["head"]
    exec(block("pcacam_jax.save"), names)
    assert names["head"].outputs == before.outputs == {"pca": ("0", "1", "2")}
    np.testing.assert_array_equal(names["head"](own_arrays["maps"][0])["pca"], before(own_arrays["maps"][0])["pca"])


def test_pipeline_example_gives_scikit_learns_numbers(x64):
    names: dict = {}
    exec(block("from pcacam_jax import from_sklearn, jacobian"), names)
    expected = names["model"].predict_log_proba(names["features"][:1])[0]
    np.testing.assert_allclose(names["stage"](names["features"][0]), expected, rtol=1e-10)
    assert names["slopes"].shape == (3, 5)


def test_evidence_example_adds_up(capsys):
    exec(block("# Which training images"), {})
    written = capsys.readouterr().out
    assert "training images: [" in written
    assert "shares of the components: [" in written


def test_own_sklearn_example_is_ten_lines():
    lines = [line for line in PYTHON[0].splitlines() if line.strip()]
    assert len(lines) <= 10


def test_notation_table_is_the_code_s():
    for row in NOTATION:
        assert f"| {row.symbol} |" in README
        assert row.meaning in README


def test_ci_runs_the_command_of_the_readme():
    script = (ROOT / ".ci" / "run").read_text()
    install, tests = next(block for block in SHELL if "pytest" in block).strip().rsplit(" && ", 1)
    assert install.replace("pip install", "pip install --quiet") in script
    assert tests in script.splitlines()
