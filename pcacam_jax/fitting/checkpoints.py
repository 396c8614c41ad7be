"""Checkpoints of training: an interrupted training continues from its last saved state, with bit-identical results."""

import time
from pathlib import Path
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np

from pcacam_jax.core.array_file import read_arrays, write_arrays
from pcacam_jax.core.checks import InputError
from pcacam_jax.core.files import remove_stale, writable_folder

SECONDS_BETWEEN = 15.0
"""Least time between two saves."""

State = TypeVar("State")


class Checkpoints:
    """A safetensors file that holds one complete training state, or does not exist.

    Args:
        path: the checkpoint file; None saves nothing.
    """

    def __init__(self, path: Path | None):
        self.path = path
        self.last_saved = time.monotonic()
        if path is not None:
            writable_folder(path.parent)
            remove_stale(path)

    def restore(self, fresh: State) -> State:
        """Return the saved state, or ``fresh`` if there is no readable state with the same structure."""
        if self.path is None or not self.path.is_file():
            return fresh
        try:
            arrays, _ = read_arrays(self.path)
        except InputError:
            return fresh
        leaves, structure = jax.tree.flatten_with_path(fresh)
        names = [jax.tree_util.keystr(path) for path, _ in leaves]
        if set(names) != set(arrays) or not all(
            _matches(arrays[name], leaf) for name, (_, leaf) in zip(names, leaves, strict=True)
        ):
            return fresh
        saved = [_like(arrays[name], leaf) for name, (_, leaf) in zip(names, leaves, strict=True)]
        return jax.tree.unflatten(structure, saved)

    def save(self, state: Any, *, finished: bool) -> None:
        """Write ``state`` if ``SECONDS_BETWEEN`` have passed since the last save, or if training has finished."""
        if self.path is None or not (finished or time.monotonic() - self.last_saved >= SECONDS_BETWEEN):
            return
        leaves, _ = jax.tree.flatten_with_path(state)
        write_arrays(self.path, {jax.tree_util.keystr(path): np.asarray(leaf) for path, leaf in leaves})
        self.last_saved = time.monotonic()


def _matches(array: np.ndarray, leaf: Any) -> bool:
    """Whether a saved array can replace a leaf; a NumPy leaf, the history, may have grown since it was created."""
    return array.dtype == leaf.dtype and (array.shape == leaf.shape or not isinstance(leaf, jax.Array))


def _like(array: np.ndarray, leaf: Any) -> Any:
    return jnp.asarray(array) if isinstance(leaf, jax.Array) else array
