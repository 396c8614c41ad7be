"""Values of any type, shape and dtype, to be given in place of arguments."""

import warnings
from decimal import Decimal

import jax
import jax.numpy as jnp
import numpy as np
from scipy import sparse
from sklearn.decomposition import PCA
from sklearn.svm import SVC

MAPS = np.abs(np.random.default_rng(0).normal(size=(2, 3, 4, 5))).astype(np.float32)
PICTURES = np.random.default_rng(0).integers(0, 256, (1, 32, 32, 3), np.uint8)


class Opaque:
    """An object of which nothing can be asked."""

    def __array__(self, dtype=None, copy=None):
        raise KeyError("no array")

    def __repr__(self):
        raise ValueError("no representation")


def values():
    """Return values of all kinds; iterators are new each time."""
    return [
        None, True, -1, 0, 2.5, float("nan"), float("inf"), 10**30, 1j, Decimal(1),
        "", "x", "pca\x00", "$x", "long" * 3000, b"bytes", [], (), {}, set(), {1, 2}, {"cnn": 1}, {1: None},
        [None], ["pca", 1], [[1], [1, 2]], (2, 3), (2.0, 3, 4), (0, 3, 4), (10**10, 3, 4), range(3), int, len, object(),
        np.array(3.0), np.float32(2), np.int64(1), np.zeros(0), np.zeros((0, 3, 4, 5)), MAPS[0], MAPS[None],
        np.zeros(2, [("a", "f4")]), jax.random.key(0), np.dtype("f4"),
        jax.ShapeDtypeStruct(MAPS.shape, "float32"), memoryview(b"abc"), slice(1), Ellipsis, Opaque(), PCA(2), SVC(),
        (number for number in range(3)), iter([1]), np.random, warnings,
        ["a", "b"], [2, 3], [0.5, -0.5], [1, 1j], [True, False], np.array(["a", "b"]), np.array([{}, None], object),
        np.array([1, 1j]), np.ma.masked, np.ma.array([1.0, 2.0], mask=[True, False]), np.array([1, 2], ">i8"),
        sparse.csr_matrix(np.eye(2)), sparse.coo_array(np.eye(2)), {"cnn": MAPS[:, 0]},
        {"cnn": None}, *tables(),
    ]  # fmt: skip


def kinds(array):
    """Return an array in many dtypes and classes."""
    dtypes = (">f4", ">i2", "f2", "g", complex, object, str, "S9", bool, "M8[s]", "m8[s]", [("a", "f4")])
    return [
        *(array.astype(dtype) for dtype in dtypes),
        np.ma.MaskedArray(array, array > 1),
        np.full(array.shape, np.nan),
        np.full(array.shape, 1e300),
        np.full(array.shape, None),
        jnp.asarray(array, jnp.bfloat16),
        array.tolist(),
        array[:0],
    ]


def tables():
    """Return data frames, if pandas is installed."""
    try:
        import pandas
    except ImportError:
        return []
    frame = pandas.DataFrame({"a": [1.0, 2.0], "b": ["x", None]})
    return [frame, frame["a"], frame["b"], pandas.NA, pandas.Timestamp(0)]
