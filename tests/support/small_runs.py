"""A run that is fitted in seconds: three classes of small images, VGG16 with random weights, a narrow head."""

import contextlib
import os
import re
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from filelock import FileLock

CLASSES = ("left", "right", "stripes")
QUICK = ["--size", "32", "--hidden", "8", "6", "--epochs", "3"]
CONFIG = {"size": 32, "hidden": (8, 6, 5), "epochs": 60, "learning_rate": 0.3, "batch_size": 16}


def random_params(seed=0):
    from pcacam_jax.nets import vgg16

    random = np.random.default_rng(seed)
    params = {}
    for layer, shapes in vgg16.param_shapes().items():
        kernel = shapes["kernel"]
        normal = random.standard_normal(kernel, dtype=np.float32) * np.float32((2 / np.prod(kernel[:-1])) ** 0.5)
        params[layer] = {"kernel": jnp.asarray(normal), "bias": jnp.full(shapes["bias"], 0.01, jnp.float32)}
    return params


def pictures(count, seed):
    """Return ``count`` images of every class with their labels, sorted by class."""
    random = np.random.default_rng(seed)
    images = random.integers(0, 80, (3 * count, 28, 28), dtype=np.uint8)
    labels = np.repeat(np.arange(3), count)
    images[labels == 0, :, :14] += 150
    images[labels == 1, :, 14:] += 150
    images[labels == 2, ::2] += 150
    return images, labels


def small_dataset():
    from pcacam_jax.data import ArraySplit, Dataset

    return Dataset("small", CLASSES, ArraySplit(*pictures(20, 0)), ArraySplit(*pictures(8, 1)))


def small_config(**changes):
    from pcacam_jax.fitting.config import FitConfig

    return FitConfig(**{**CONFIG, **changes})


@contextlib.contextmanager
def optimized():
    """Compile as users do: the network takes longer than its compilation."""
    before = jax.config.read("jax_disable_most_optimizations")
    jax.config.update("jax_disable_most_optimizations", False)
    try:
        yield
    finally:
        jax.config.update("jax_disable_most_optimizations", before)


@contextlib.contextmanager
def in_place(params, cache):
    """Use ``params`` as the weights of VGG16, and ``cache`` as the cache folder."""
    from pcacam_jax.nets import weights

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PCACAM_CACHE", str(cache))
        patch.setattr(weights, "load", lambda path=None, **options: params)
        yield


@pytest.fixture(scope="session")
def small_params():
    return random_params()


@pytest.fixture(scope="session")
def small_cache():
    """Return the cache of the small runs, which all workers of a session share."""
    folder = Path(os.environ["PCACAM_TEST_SESSION"]) / "small_cache"
    folder.mkdir(exist_ok=True)
    return folder


@pytest.fixture
def small_world(small_params, small_cache):
    with in_place(small_params, small_cache):
        yield


@pytest.fixture(scope="session")
def fitted(small_params, small_cache):
    from pcacam_jax.fitting.fit import fit

    with optimized(), in_place(small_params, small_cache):
        return fit(small_dataset(), small_config())


@pytest.fixture(scope="session")
def run_folder(small_params, small_cache):
    """Return a run folder with the same configuration as ``fitted``; copy it before you change it.

    The first worker that asks makes it, the others wait.
    """
    from pcacam_jax.core.progress import Progress
    from pcacam_jax.runs.make_run import make_run

    folder = small_cache.parent / "small_run"
    with optimized(), FileLock(small_cache.parent / "small_run.lock"), in_place(small_params, small_cache):
        if not folder.exists():
            make_run(small_dataset, small_config(), folder, Progress(quiet=True))
    return folder


def x_m(fitted, part):
    """Compute the output of layer ``at`` in float64 with NumPy, for a head with sigmoids."""
    x = np.asarray(fitted.maps[part], np.float64).reshape(len(fitted.maps[part]), -1)
    for kernel, bias in fitted.training.layers[: fitted.config.at]:
        x = 1 / (1 + np.exp(-(x @ np.asarray(kernel, np.float64) + np.asarray(bias, np.float64))))
    return x


def without_certificate(monkeypatch):
    """Skip the certificate in ``fit``, for tests that do not need it."""
    from pcacam_jax.fitting import fit as module
    from pcacam_jax.verification.certificate import Certificate

    monkeypatch.setattr(module, "verify", lambda *_, **__: Certificate(()))


def assert_input_error(result, pattern):
    """Check for exit code 2, one sentence on standard error and no standard output."""
    code, out, err = result
    assert code == 2
    assert out == ""
    assert re.fullmatch(rf"pcacam: [^\n]*{pattern}[^\n]*\.\n", err), err


def entries(folder):
    return {path.name for path in Path(folder).iterdir()}
