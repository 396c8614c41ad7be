import warnings

import pytest

REASON = 'not installed: pip install "pcacam_jax[frameworks]"'


@pytest.fixture(scope="session")
def torch():
    """PyTorch, in float64 and on one thread."""
    module = pytest.importorskip("torch", reason=f"PyTorch is {REASON}")
    module.set_num_threads(1)
    return module


@pytest.fixture(scope="session")
def keras():
    """Keras on JAX; the backend is chosen before Keras is imported."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KERAS_BACKEND", "jax")
        return pytest.importorskip("keras", reason=f"Keras is {REASON}")


@pytest.fixture(scope="session")
def grad_cam(torch):
    """pytorch-grad-cam."""
    return pytest.importorskip("pytorch_grad_cam", reason=f"pytorch-grad-cam is {REASON}")


@pytest.fixture(scope="session")
def captum(torch):
    """The metrics of Captum."""
    return pytest.importorskip("captum.metrics", reason=f"Captum is {REASON}")


@pytest.fixture(scope="session")
def quantus(torch):
    """Quantus, with the warnings of its imports."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip("quantus", reason=f"Quantus is {REASON}")
