"""Maps that look as if their channels came first raise a warning, once per head, and ordinary maps do not."""

import dataclasses
import warnings

import numpy as np
import pytest
from sklearn.decomposition import PCA

from pcacam_jax import InputError, check_outputs, explain, hybrid_head
from pcacam_jax.head.axis_order import looks_channels_first


@pytest.mark.parametrize(
    "shape",
    [
        (512, 7, 7),
        (64, 56, 56),
        (8, 4, 4),
        (6, 4, 5),
        (512, 14, 10),
        (512, 10, 14),
        (512, 1, 1),
        (20, 7, 9),
        (24, 16, 16),
    ],
)
def test_channels_first(shape):
    assert looks_channels_first(shape)


@pytest.mark.parametrize(
    "shape",
    [
        *[(7, 7, 512), (3, 3, 512), (14, 14, 512), (56, 56, 64), (112, 112, 16), (224, 224, 3), (7, 7, 3), (7, 7, 7)],
        *[(1, 1, 512), (1, 1, 1), (14, 10, 512), (100, 40, 64), (100, 40, 32), (7, 10, 3), (10, 7, 3), (128, 1, 64)],
        *[(1, 128, 64), (5, 4, 2), (3, 4, 5), (1, 2, 2), (2, 2, 1)],
    ],
)
def test_ordinary_maps(shape):
    assert not looks_channels_first(shape)


def head_of(shape, **options):
    random = np.random.default_rng(0)
    return hybrid_head([], maps_shape=shape, pca=PCA(2).fit(random.random((9, options.pop("width")))), **options)


def test_the_warning_names_the_mistake_and_the_line_of_the_caller():
    with pytest.warns(UserWarning, match=r"maps of shape \(8, 4, 4\) look as if .* maps_shape=\(4, 4, 8\)") as caught:
        head_of((8, 4, 4), width=128)
    assert caught[0].filename == __file__
    assert str(caught[0].message).endswith(".")


def test_explain_and_check_outputs_warn_once_per_head():
    with pytest.warns(UserWarning, match="channels came first"):
        head = head_of((8, 4, 4), width=128)
    maps = np.random.default_rng(0).random((2, 8, 4, 4), np.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        explain(head, maps, "pca")
    fresh = dataclasses.replace(head)  # as restored from a file
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        expected = explain(fresh, maps, "pca").values
        check_outputs(fresh, maps, {"pca": expected})
        explain(fresh, maps, "pca:0")
    assert [warning.filename for warning in caught] == [__file__]


@pytest.mark.parametrize("pool", [True, "average"])
def test_a_width_that_allows_one_reading_only_raises_no_warning(pool):
    shape = (512, 7, 7)
    head_of(shape, width=7 if pool == "average" else 256 * 3 * 7, pool=pool)


def test_a_width_that_allows_both_readings_after_a_pool_raises_one():
    with pytest.warns(UserWarning, match="channels came first"):
        head_of((8, 4, 4), width=4 * 2 * 4, pool=True)


def test_the_error_about_a_shape_names_channels_first_and_a_missing_batch_axis():
    head = head_of((4, 4, 8), width=128)
    with pytest.raises(InputError, match=r"got \(3, 8, 4, 4\); the channels are first, so use maps_from_torch\.$"):
        explain(head, np.ones((3, 8, 4, 4)), "pca")
    with pytest.raises(InputError, match=r"got \(4, 4, 8\); for one image write maps\[None\]\.$"):
        explain(head, np.ones((4, 4, 8)), "pca")
    with pytest.raises(InputError, match=r"got \(\)\.$"):
        explain(head, 3.0, "pca")
