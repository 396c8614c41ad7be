"""On the embedded sample: test images are like the training images, other pictures are not."""

from pathlib import Path

import numpy as np
import pytest

from pcacam_jax import load
from pcacam_jax.cam.trust_words import is_far

PHOTOGRAPHS = Path(__file__).parents[3] / "shared" / "data" / "sample" / "dog_cat" / "test"


@pytest.mark.exhaustive
def test_photographs_of_animals_are_unlike_clothes(sample_run, monkeypatch):
    if not PHOTOGRAPHS.is_dir():
        pytest.skip("the photographs of the sample data are not there")
    monkeypatch.setenv("PCACAM_CACHE", str(sample_run.cache))
    run = load(sample_run.out)
    paths = sorted(PHOTOGRAPHS.rglob("*.jpg"))[::12][:16]
    photographs, clothes = run.load_images(paths), run.dataset.test.images(np.arange(0, 96, 6), run.config.size)
    far = {}
    for name, images in (("photographs", photographs), ("clothes", clothes)):
        trusted = run.trust(run.explain(images, "svm_rbf:predicted"), images)
        far[name] = np.mean([is_far(trusted, b) for b in range(len(images))])
    assert far["photographs"] == 1
    assert far["clothes"] <= 0.15
