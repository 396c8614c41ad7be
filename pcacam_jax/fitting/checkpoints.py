"""Training kept on disk now and then, so that what was cut off goes on where it was, to the same bits."""

import time
from pathlib import Path
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np

from pcacam_jax.core.array_file import read_arrays, write_arrays
from pcacam_jax.core.checks import InputError
from pcacam_jax.core.files import remove_torn, writable_folder

SECONDS_BETWEEN = 15.0

State = TypeVar("State")


class Checkpoints:
    """One safetensors file that always holds a whole state, or is absent; without a path, nothing is kept."""

    def __init__(self, path: Path | None):
        self.path = path
        self.kept = time.monotonic()
        if path is not None:
            writable_folder(path.parent)
            remove_torn(path)

    def latest(self, fresh: State) -> State:
        """Return the kept state, or ``fresh`` where there is none, or none that is whole and of the same structure."""
        if self.path is None or not self.path.is_file():
            return fresh
        try:
            arrays, _ = read_arrays(self.path)
        except InputError:
            return fresh
        leaves, structure = jax.tree.flatten_with_path(fresh)
        names = [jax.tree_util.keystr(path) for path, _ in leaves]
        if set(names) != set(arrays) or not all(
            _fits(arrays[name], leaf) for name, (_, leaf) in zip(names, leaves, strict=True)
        ):
            return fresh
        kept = [_like(arrays[name], leaf) for name, (_, leaf) in zip(names, leaves, strict=True)]
        return jax.tree.unflatten(structure, kept)

    def keep(self, state: Any, *, finished: bool) -> None:
        """Write the state if the last one was written some time ago, or if it is the last."""
        if self.path is None or not (finished or time.monotonic() - self.kept >= SECONDS_BETWEEN):
            return
        leaves, _ = jax.tree.flatten_with_path(state)
        write_arrays(self.path, {jax.tree_util.keystr(path): np.asarray(leaf) for path, leaf in leaves})
        self.kept = time.monotonic()


def _fits(array: np.ndarray, leaf: Any) -> bool:
    """Say whether an array can stand for a leaf; what is no JAX array may have grown."""
    return array.dtype == leaf.dtype and (array.shape == leaf.shape or not isinstance(leaf, jax.Array))


def _like(array: np.ndarray, leaf: Any) -> Any:
    return jnp.asarray(array) if isinstance(leaf, jax.Array) else array
