"""A reproduction that takes seconds: small images under the names of three of the paper's datasets."""

import contextlib
import pickle

import pytest
from filelock import FileLock
from support.small_runs import in_place, small_config, small_dataset

from pcacam_jax import plots
from pcacam_jax.core.checks import InputError
from pcacam_jax.core.progress import Progress
from pcacam_jax.reproduce import gather, reproduce

AVAILABLE = ("mnist", "cifar10", "dog_cat")
CLAIMS = ("table3", "figure2", "figure5", "figure6", "figure7", "figure8", "figure9", "maps", "gamma_trap")
REASON = "this dataset is on another computer; copy it from there."


def read(name, root, *, limit_per_class):
    assert limit_per_class == 400
    if name not in AVAILABLE:
        raise InputError(REASON)
    return small_dataset()


@contextlib.contextmanager
def small_datasets(params, cache):
    """Replace the paper's datasets by small ones, and skip the certificates and the figures of the runs."""
    from pcacam_jax.fitting import fit
    from pcacam_jax.verification.certificate import Certificate

    with in_place(params, cache), pytest.MonkeyPatch.context() as patch:
        patch.setattr(gather, "read_paper_set", read)
        patch.setattr(gather, "settings_of", lambda scale, name: small_config())
        patch.setattr(gather, "draw_figures", lambda *_, **options: [])
        patch.setattr(reproduce, "NAMES", CLAIMS)
        patch.setattr(fit, "verify", lambda *_, **__: Certificate(()))
        yield


@pytest.fixture
def small_paper(small_params, small_cache, monkeypatch):
    """Use small datasets, and draw figures without writing them, which takes longest; ``reproduction`` writes them."""
    monkeypatch.setattr(plots, "save", lambda figure, path, **options: path)
    with small_datasets(small_params, small_cache):
        yield


@pytest.fixture(scope="session")
def reproduction(small_params, small_cache):
    """Return the request, content and sections of a reproduction with data; copy the folder before changing it.

    The first worker that asks makes it, the others wait.
    """
    root = small_cache.parent / "reproduced"
    image = root / "data" / "mnist" / "train.npz"  # its content is not read, only its existence is checked
    image.parent.mkdir(parents=True, exist_ok=True)
    image.touch()
    request = gather.ReproductionRequest(out=root / "out", scale="sample", data_root=root / "data", seeds=(0, 1))
    finished = root / "finished.pickle"
    with FileLock(root / "lock"), small_datasets(small_params, small_cache):
        if not finished.exists():
            results = reproduce.reproduce(CLAIMS, request, Progress(quiet=True))
            finished.write_bytes(pickle.dumps(results))
    return request, *pickle.loads(finished.read_bytes())
