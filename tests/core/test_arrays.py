"""Arrays, tensors and variables of other frameworks, and tables whose columns have the names of their attributes."""

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest

from pcacam_jax import InputError
from pcacam_jax.core.arrays import as_numpy, native, unwrapped

VALUES = np.array([[1.0, 2.5], [3.0, -4.0]], np.float32)


class KerasVariable:
    """As in Keras 3: the tensor is a property."""

    @property
    def value(self):
        return VALUES


class BoxedParameter:
    def unbox(self):
        return VALUES


class CupyArray:
    __cuda_array_interface__ = None

    def __array__(self, dtype=None, copy=None):
        raise TypeError("Implicit conversion to a NumPy array is not allowed.")

    def get(self):
        return VALUES


class Table:
    """As pandas, xarray and polars: columns are attributes, and methods are attributes of the class."""

    def __init__(self, *columns):
        self.columns = columns

    def __getattr__(self, name):
        if name in self.columns:
            return VALUES[:, 0]
        raise AttributeError(name)

    def __array__(self, dtype=None, copy=None):
        return VALUES


@pytest.mark.parametrize(
    "values",
    [
        KerasVariable(),
        BoxedParameter(),
        CupyArray(),
        Table("first", "second"),
        *(
            Table(name, "x")
            for name in ("value", "detach", "numpy", "cpu", "unbox", "get_value", "get", "toarray", "dtype")
        ),
        VALUES.tolist(),
        jnp.asarray(VALUES),
        jnp.asarray(VALUES, jnp.bfloat16),
        VALUES.astype(">f4"),
        VALUES.astype(">f8"),
        VALUES.astype(np.longdouble),
        VALUES.astype(object),
        VALUES.astype(ml_dtypes.bfloat16),
        np.ma.MaskedArray(VALUES).data,
    ],
    ids=lambda values: f"{type(values).__name__} {getattr(values, 'columns', '')}",
)
def test_values_are_read_in_a_dtype_that_jax_has(values):
    array = as_numpy("x", values)
    np.testing.assert_array_equal(array, VALUES)
    assert array.dtype.isnative
    assert array.dtype in (np.float32, np.float64)
    jnp.asarray(array)


def test_a_flax_variable_is_read():
    nnx = pytest.importorskip("flax.nnx")
    np.testing.assert_array_equal(as_numpy("x", nnx.Param(jnp.asarray(VALUES))), VALUES)


@pytest.mark.parametrize(
    "values",
    [
        "text", b"bytes", ["1", "2"], np.array(["1.5", 2], object), {"a": 1}, {1.0, 2.0}, (n for n in range(2)), None,
        object, 1j, np.datetime64("2020-01-01"), np.zeros(3, [("value", "f4")]), np.zeros(2, "V4"), [[1, 2], [3]],
        10**400,
    ],
    ids=lambda values: type(values).__name__,
)  # fmt: skip
def test_other_values_are_rejected_in_one_sentence(values):
    with pytest.raises(InputError, match=r"^x must be an array or a tensor of real numbers; got [^.]*\.$"):
        as_numpy("x", values)


@pytest.mark.parametrize("values", [10**100, [np.nan], np.array([np.inf])])
def test_numbers_that_are_not_finite_are_rejected(values):
    with pytest.raises(InputError, match="x must be finite"):
        as_numpy("x", values)


def test_masked_and_traced_arrays_are_rejected():
    with pytest.raises(InputError, match="must not be a masked array"):
        as_numpy("x", np.ma.MaskedArray(VALUES, mask=VALUES > 2))
    with pytest.raises(InputError, match="call this function outside jit"):
        jax.jit(lambda x: as_numpy("x", x))(VALUES)


def test_arrays_are_not_copied_without_need():
    assert unwrapped(VALUES) is VALUES
    assert native(VALUES) is VALUES
    assert as_numpy("x", VALUES) is VALUES


@pytest.mark.parametrize("column", ["value", "detach"])
def test_pandas_tables_with_awkward_columns(column):
    pandas = pytest.importorskip("pandas")
    np.testing.assert_array_equal(as_numpy("x", pandas.DataFrame(VALUES, columns=["first", column])), VALUES)
