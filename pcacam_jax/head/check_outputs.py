"""Comparison of a head's outputs with those of the network it was built from."""

import functools
import numbers
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from pcacam_jax.core.arrays import as_numpy
from pcacam_jax.core.checks import InputError, check_choice
from pcacam_jax.core.text import shown
from pcacam_jax.head.batches import Batch, all_finite, batched, check_not_traced, checked_maps
from pcacam_jax.head.causes import Outputs, find_cause
from pcacam_jax.head.columns import check_columns, with_each_row
from pcacam_jax.head.hybrid import HybridHead
from pcacam_jax.head.value_causes import relative_error

BATCH = 256


def check_outputs(
    head: HybridHead,
    maps: Any,
    expected: Mapping[str, Any],
    *,
    tolerance: float | None = None,
    columns: Any = None,
) -> dict[str, float]:
    """Compare the outputs of a head with those of your framework for the same feature maps.

    Args:
        head: a head from :func:`pcacam_jax.hybrid_head`.
        maps: ``(B, h, w, K)`` feature maps, channels last.
        expected: output name -> values ``(B, size)``, such as ``{"cnn": logits, "pca": pca.transform(x)}``.
        tolerance: the largest error that passes. The default is the square root of the machine epsilon of the head's
            dtype: 3.5e-4 in float32, 1.5e-8 in float64.
        columns: ``(B, c)``, the values of further columns, as in :func:`pcacam_jax.explain`.

    Returns:
        The largest error of each output in ``expected``, relative to the largest magnitude of that output.

    Raises:
        InputError: a shape or the tolerance is invalid, or an error exceeds the tolerance. Then the message names the
            cause, if one explains every output in ``expected``: the order of flattening, estimators fitted before the
            activation or on another layer, the activation, a transposed kernel, missing biases, maps before their ReLU,
            probabilities instead of logits, votes instead of margins, the order of the classes or of the examples, the
            sign of a component, a constant factor or a constant. Otherwise it lists what was tried.
        TypeError: ``head`` is not a head, or ``expected`` is not a dictionary.

    Example:
        >>> import numpy as np
        >>> from pcacam_jax import check_outputs, hybrid_head
        >>> kernel, maps = np.ones((4, 2)), np.ones((3, 1, 2, 2))
        >>> head = hybrid_head([(kernel, np.zeros(2))], maps_shape=(1, 2, 2), at=1)
        >>> check_outputs(head, maps, {"cnn": maps.reshape(3, 4) @ kernel})
        {'cnn': 0.0}
    """
    if not isinstance(head, HybridHead):
        raise TypeError(f"head must be a HybridHead, from pcacam_jax.hybrid_head; got {type(head).__name__}.")
    limit = _limit(head, tolerance)
    if not isinstance(expected, Mapping):
        raise TypeError(
            f"expected must be a dictionary output name -> values, such as {{'{next(iter(head.outputs))}': values}}; "
            f"got {type(expected).__name__}."
        )
    check_not_traced("check_outputs", head, maps)
    maps = checked_maps(head, maps)
    check_columns(head, columns)
    references = {name: _expected(head, name, values, len(maps)) for name, values in expected.items()}
    if not references:
        raise InputError(f"expected must hold values for at least one of {', '.join(head.outputs)}; got none.")
    outputs = _outputs(head, maps) if columns is None else with_each_row(_outputs, head, maps, columns)
    errors = {name: relative_error(outputs[name], reference) for name, reference in references.items()}
    wrong = {name: error for name, error in errors.items() if not error <= limit}
    if not wrong:
        return errors
    listed = ", ".join(f"{name} by {error:.2g}" for name, error in wrong.items())
    if columns is None:
        cause = find_cause(head, maps, outputs, references, limit, _outputs)
    else:
        cause = "causes are not searched with further columns, so look at their order and at the outputs without them"
    raise InputError(
        f"the outputs of the head differ from the expected values, relative to the largest value of each output: "
        f"{listed}, but at most {limit:.2g} is allowed; {cause}."
    )


def _limit(head: HybridHead, tolerance: float | None) -> float:
    if tolerance is None:
        return float(np.sqrt(jnp.finfo(head.dtype).eps))
    if isinstance(tolerance, bool) or not isinstance(tolerance, numbers.Real) or not tolerance >= 0:
        raise InputError(f"tolerance must be a number of at least 0, or None for the default; got {shown(tolerance)}.")
    return float(tolerance)


def _expected(head: HybridHead, name: str, values: Any, count: int) -> np.ndarray:
    check_choice("a name in expected", name, head.outputs)
    array, size = as_numpy(f"expected[{name!r}]", values), len(head.outputs[name])
    if array.shape != (count, size):
        hint = "; the margins of a two-class SVM are (-g, g)" if size == 2 and array.size == count else ""
        raise InputError(f"expected[{name!r}] must have shape ({count}, {size}); got {array.shape}{hint}.")
    return array


def _outputs(head: HybridHead, maps: Any) -> Outputs:
    values, _ = batched(functools.partial(_run, head), maps, BATCH, head.dtype, name="check_outputs")
    return {name: np.asarray(array, np.float64) for name, array in values.items()}


@jax.jit
def _run(head: HybridHead, maps: Any) -> Batch:
    return Batch(all_finite(maps), jax.vmap(head)(maps))
