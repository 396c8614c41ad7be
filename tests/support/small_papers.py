"""A reproduction that takes seconds: small pictures under the names of the paper's sets, one of which cannot be had."""

import contextlib

import pytest
from support.small_runs import in_place, small_config, small_dataset

from pcacam_jax import plots
from pcacam_jax.core.checks import InputError
from pcacam_jax.core.progress import Progress
from pcacam_jax.reproduce import gather, reproduce

HAD = ("mnist", "cifar10", "dog_cat")
CLAIMS = ("table3", "figure2", "figure5", "figure6", "figure7", "figure8", "figure9", "maps", "gamma_trap")
REASON = "this set lies on another machine; carry it over."


def read(name, root, *, limit_per_class):
    assert limit_per_class == 400
    if name not in HAD:
        raise InputError(REASON)
    return small_dataset()


@contextlib.contextmanager
def world(params, cache):
    """Give small data under the paper's names, without certificates and without the figures of every run."""
    from pcacam_jax.fitting import fit
    from pcacam_jax.verification.certificate import Certificate

    with in_place(params, cache), pytest.MonkeyPatch.context() as patch:
        patch.setattr(gather, "read_paper_set", read)
        patch.setattr(gather, "settings_of", lambda scale, name: small_config())
        patch.setattr(gather, "draw_figures", lambda *_: [])
        patch.setattr(reproduce, "NAMES", CLAIMS)
        patch.setattr(fit, "verify", lambda *_, **__: Certificate(()))
        yield


@pytest.fixture
def small_paper(small_params, small_cache, monkeypatch):
    """Draw, but write no pictures, which takes longest; ``made`` has them."""
    monkeypatch.setattr(plots, "save", lambda figure, path, **options: path)
    with world(small_params, small_cache):
        yield


@pytest.fixture(scope="session")
def made(small_params, small_cache, tmp_path_factory):
    """Return a folder with a reproduction of all claims on data, what it returned; not to be changed: copy it first."""
    root = tmp_path_factory.mktemp("reproduced")
    (root / "data" / "mnist").mkdir(parents=True)
    (root / "data" / "mnist" / "train.npz").touch()  # what it holds is not read, but that it is there
    order = gather.Order(out=root / "out", scale="sample", data_root=root / "data", seeds=(0, 1))
    with world(small_params, small_cache):
        content, sections = reproduce.reproduce(CLAIMS, order, Progress(quiet=True))
    return order, content, sections
