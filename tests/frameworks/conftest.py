import pytest

REASON = 'not installed: pip install "pcacam_jax[frameworks]"'


@pytest.fixture(scope="session")
def torch():
    """PyTorch, in float64 and on one thread."""
    found = pytest.importorskip("torch", reason=f"PyTorch is {REASON}")
    found.set_num_threads(1)
    return found


@pytest.fixture(scope="session")
def keras():
    """Keras on JAX, which it must be told before it is imported."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KERAS_BACKEND", "jax")
        return pytest.importorskip("keras", reason=f"Keras is {REASON}")


@pytest.fixture(scope="session")
def grad_cam(torch):
    """The package that everybody has: pytorch-grad-cam."""
    return pytest.importorskip("pytorch_grad_cam", reason=f"pytorch-grad-cam is {REASON}")
