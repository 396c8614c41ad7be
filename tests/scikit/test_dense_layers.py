"""Dense layers from arrays of every kind, which are converted or rejected with a sentence."""

import jax.numpy as jnp
import numpy as np
import pytest
from scipy.sparse import csr_matrix

from pcacam_jax import InputError, explain, hybrid_head

KERNEL = np.arange(12.0).reshape(4, 3) / 8
MAPS = np.ones((2, 1, 2, 2), np.float32)


def build(kernel=KERNEL, bias=(0, 0, 0), **options):
    return hybrid_head([(kernel, bias)], maps_shape=(1, 2, 2), at=1, **options)


READ_ONLY = KERNEL.copy()
READ_ONLY.flags.writeable = False


class Tensor:
    """A tensor that another library converts for NumPy."""

    def __array__(self, dtype=None, copy=None):
        return KERNEL


KERNELS = {
    "big-endian": KERNEL.astype(">f8"),
    "big-endian, single": KERNEL.astype(">f4"),
    "big-endian, half": KERNEL.astype(">f2"),
    "half": KERNEL.astype(np.float16),
    "bfloat16": jnp.asarray(KERNEL, jnp.bfloat16),
    "extended": KERNEL.astype(np.longdouble),
    "objects": KERNEL.astype(object),
    "read-only": READ_ONLY,
    "column by column": np.asfortranarray(KERNEL),
    "with steps": np.repeat(np.repeat(KERNEL, 2, 0), 3, 1)[::2, ::3],
    "backwards": KERNEL[::-1, ::-1].copy()[::-1, ::-1],
    "sparse": csr_matrix(KERNEL),
    "list": KERNEL.tolist(),
    "tensor": Tensor(),
}


@pytest.mark.parametrize("name", KERNELS)
def test_arrays_of_every_kind_are_converted(name):
    head = build(KERNELS[name])
    np.testing.assert_array_equal(head.dense.stages[0].kernel, np.float32(KERNEL))
    assert head.dtype == np.float32


@pytest.mark.parametrize("dtype", [">i4", "<u8", np.int8, ">i2"])
def test_integers_are_converted(dtype):
    head = build(np.ones((4, 3), dtype), np.array([1, 2, 3], dtype))
    np.testing.assert_array_equal(explain(head, MAPS.astype(">f4"), "cnn").values, [[5, 6, 7]] * 2)


class GradientTensor:
    """A tensor of PyTorch that needs a gradient."""

    def __array__(self, dtype=None, copy=None):
        raise RuntimeError("Can't call numpy() on Tensor that requires grad.")


REJECTED = {
    "masked": (np.ma.masked_array(KERNEL, KERNEL > 1), "must not be a masked array"),
    "records": (np.zeros((4, 3), [("a", "f4")]), "must be an array of real numbers; got ndarray of .*'a'"),
    "text": (np.full((4, 3), "1"), "must be an array of real numbers; got ndarray of <U1"),
    "dates": (np.zeros((4, 3), "datetime64[D]"), "must be an array of real numbers"),
    "truth values": (KERNEL > 1, "must be an array of real numbers; got ndarray of bool"),
    "mixed objects": (np.array([[1, "a", None]] * 4, object), "cannot be read as an array"),
    "gradient": (GradientTensor(), r"cannot be read as an array \(Can't call numpy\(\) on Tensor that requires grad"),
    "nothing": (None, "cannot be read|must be an array"),
    "function": (build, "cannot be read as an array"),
}


@pytest.mark.parametrize("name", REJECTED)
def test_other_values_are_rejected(name):
    value, sentence = REJECTED[name]
    with pytest.raises(InputError, match=sentence):
        build(value)


SCALARS = [None, -1, 2.5, "abc", b"ab", 1j, object(), np.array(3), np.array("a")]
ODD = [*SCALARS, [], (), {"a": 1}, np.zeros((2, 3)), range(3)]
"""Values that no argument of hybrid_head expects, except where the tests below say so."""


@pytest.mark.parametrize("name", ["maps_shape", "activation", "pool", "flattened", "before_activation", "pca", "svms"])
def test_arguments_of_other_types_are_rejected(name):
    for value in ODD:
        accepted = (name in ("pca", "svms") and value is None) or (name == "maps_shape" and isinstance(value, range))
        if not accepted:
            with pytest.raises((InputError, TypeError), match=r"must be|expected a fitted"):
                hybrid_head([(KERNEL, np.zeros(3))], **{"maps_shape": (1, 2, 2), name: value})


@pytest.mark.parametrize("value", [*SCALARS, {"a": 1}, np.zeros((2, 3)), range(3), [1, 2], [(1, 2, 3)], [object()]])
def test_values_that_are_no_layers_are_rejected(value):
    with pytest.raises(InputError, match="dense"):
        hybrid_head(value, maps_shape=(1, 2, 2))


@pytest.mark.parametrize("value", [value for value in ODD if value is not None])
def test_at_and_class_names_of_other_types_are_rejected(value):
    with pytest.raises(InputError, match="at must be the number"):
        hybrid_head([(KERNEL, np.zeros(3))], maps_shape=(1, 2, 2), at=value)
    if not isinstance(value, range):
        with pytest.raises(InputError, match="class_names must be"):
            build(class_names=value)
