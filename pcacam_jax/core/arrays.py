"""Arrays and tensors of any framework as NumPy arrays that JAX can read."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from pcacam_jax.core.checks import InputError, check_finite
from pcacam_jax.core.text import one_line


def unwrapped(values: Any) -> Any:
    """Return the array in a variable, or a tensor on the host without its gradient; other values are unchanged.

    Variables and tensors are recognised by their class. A table's columns are attributes of the table itself, so that
    one named ``value`` or ``detach`` means nothing.
    """
    kind = type(values)
    if isinstance(values, np.ndarray | jax.Array):
        return values
    for method in ("get_value", "unbox"):  # variables of flax.nnx, boxed parameters of flax.linen
        if callable(getattr(kind, method, None)):
            return unwrapped(getattr(values, method)())
    if isinstance(getattr(kind, "value", None), property):  # Keras
        return unwrapped(values.value)
    if callable(getattr(kind, "detach", None)):  # PyTorch
        values = values.detach().cpu()
        return values.float() if "bfloat16" in str(values.dtype) else values
    if hasattr(kind, "__cuda_array_interface__") and callable(getattr(kind, "get", None)):  # CuPy
        return values.get()
    return values


def native(array: np.ndarray) -> np.ndarray:
    """Return floats in a dtype that JAX has: in the byte order of this computer, and at most 64 bits wide."""
    if array.dtype.kind == "f" and array.dtype.itemsize > 8:
        return array.astype(np.float64)
    return array if array.dtype.isnative else array.astype(array.dtype.newbyteorder("="))


def as_numpy(name: str, values: Any) -> np.ndarray:
    """Convert a tensor of any framework to a NumPy array of finite floats.

    Args:
        name: what the error message calls the array.
        values: an array, a tensor or nested lists of real numbers.

    Returns:
        The array in its own floating-point dtype; integers and bools become float32.

    Raises:
        InputError: the values are not finite real numbers, the array is masked, or it is traced by JAX.
    """
    if isinstance(values, np.ma.MaskedArray):
        raise InputError(f"{name} must not be a masked array, because the mask would be ignored; fill it first.")
    if isinstance(values, Tracer):
        raise InputError(f"{name} must hold known numbers, but JAX traces it here; call this function outside jit.")
    try:
        array = np.asarray(unwrapped(values))
        if array.dtype.kind in "cSUMm" or array.dtype.type is np.void:
            # NumPy would drop imaginary parts and convert text and dates to numbers.
            raise TypeError(f"the dtype is {array.dtype}")
        if array.dtype == object and any(isinstance(item, str | bytes | None) for item in array.flat):
            raise TypeError("it holds text or None")
        with np.errstate(over="ignore"):
            array = native(array) if array.dtype.kind == "f" else array.astype(np.float32)
    except Exception as error:  # the conversion of the user's object may raise anything
        got = type(values).__name__ + (f" of {one_line(values.dtype)}" if hasattr(type(values), "dtype") else "")
        raise InputError(f"{name} must be an array or a tensor of real numbers; got {got}.") from error
    check_finite(name, array)
    return array


def real_array(name: str, values: Any, *, finite: bool = True) -> Any:
    """Return a JAX array as it is, and other values as a NumPy array, checked for real numbers of any dtype.

    Args:
        name: what the error message calls the array.
        values: an array, a tensor, a number or nested lists.
        finite: whether NaN and infinity are rejected.

    Raises:
        InputError: the values are not finite real numbers, or masked; traced values pass, because they are not known
            yet.
    """
    if isinstance(values, np.ma.MaskedArray):
        raise InputError(f"{name} must not be a masked array, because the mask would be ignored; fill it first.")
    try:
        values = unwrapped(values)
        values = values.toarray() if callable(getattr(type(values), "toarray", None)) else values  # sparse
        array = values if isinstance(values, jax.Array) else native(np.asarray(values))
        if array.dtype == object and not array.ndim:
            raise TypeError("it is a single object")
        array = array.astype(np.float64) if array.dtype == object else array
        # To NumPy, a duration is an integer.
        real = jnp.issubdtype(array.dtype, jnp.number) and array.dtype.kind not in "cm"
    except Exception as error:  # the conversion of the user's object may raise anything
        raise InputError(
            f"{name} cannot be read as an array ({one_line(error)}); give an array of real numbers."
        ) from error
    if not real:
        raise InputError(f"{name} must be an array of real numbers; got {type(values).__name__} of {array.dtype}.")
    if finite:
        check_finite(name, array)
    return array
