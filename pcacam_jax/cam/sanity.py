"""Sanity checks: whether heatmaps change when the parts of the head that they should depend on are randomised.

Adebayo et al. 2018, "Sanity checks for saliency maps". A map that stays the same when the parameters behind its target
are replaced does not explain the target.
"""

import dataclasses
import functools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from pcacam_jax.cam.compute import signed_map
from pcacam_jax.cam.example import Example
from pcacam_jax.cam.explain import explain
from pcacam_jax.cam.memory import default_batch_size
from pcacam_jax.cam.method import Method
from pcacam_jax.cam.methods import as_method
from pcacam_jax.cam.options import checked_seed
from pcacam_jax.core.brief import brief_repr
from pcacam_jax.core.checks import InputError, check_choice
from pcacam_jax.core.types import Maps
from pcacam_jax.head.axis_order import mark_like
from pcacam_jax.head.batches import Batch, all_finite, batched_beside, checked_batch_size, checked_maps
from pcacam_jax.head.hybrid import HybridHead
from pcacam_jax.head.targets import Selection
from pcacam_jax.metrics import correlation


@dataclasses.dataclass(frozen=True)
class Randomisation:
    """How much the maps of T targets at B examples change when one part of the head after another is randomised."""

    steps: tuple[str, ...]
    """The part that each step randomises; the parts of the earlier steps stay randomised."""
    targets: tuple[str, ...]
    """The names of the targets."""
    method: str
    """The CAM method."""
    on_path: Bool[np.ndarray, "S T"]
    """``(S, T)``, whether a part that is randomised at this step lies between the maps and the target. Where it is
    False, the target has not changed."""
    correlations: Float[np.ndarray, "S B T"]
    """``(S, B, T)``, Pearson's correlation of the signed map with that of the original head; NaN if one of them is
    constant."""

    __repr__ = brief_repr


def parts(head: HybridHead, output: str | None = None) -> tuple[str, ...]:
    """Return the names of the parts of a head that can be randomised, from the output side down.

    The parts are the SVMs, by name; ``"pca"``; and the dense layers, ``"dense:N"`` to ``"dense:1"``. Parts without
    an array of several entries, such as activations, are left out.

    Args:
        head: the head.
        output: one of its outputs, for the parts between the maps and this output; None for all parts.

    Raises:
        InputError: the head has no such output.

    Example:
        >>> import numpy as np
        >>> from pcacam_jax import hybrid_head
        >>> from pcacam_jax.cam.sanity import parts
        >>> head = hybrid_head([(np.ones((4, 2)), np.zeros(2)), (np.ones((2, 2)), np.zeros(2))], maps_shape=(2, 2, 1))
        >>> parts(head)
        ('dense:2', 'dense:1')
    """
    if output is not None:
        head = _with_path_only(head, check_choice("output", output, head.outputs))
    permutable = [
        name for name, leaf in zip(_part_of_each_array(head), jax.tree.leaves(head), strict=True) if np.size(leaf) > 1
    ]
    names = [name for name in dict.fromkeys(permutable) if name is not None]
    dense = [name for name in names if name.startswith("dense:")]
    return (*filter(names.__contains__, (*head.svm_names, "pca")), *dense[::-1])


def _with_path_only(head: HybridHead, output: str) -> HybridHead:
    """Return the head without the stages that lie on no way from the maps to an output."""
    if output == "cnn":
        return dataclasses.replace(head, pca=None, svms={})
    return dataclasses.replace(head, cnn=None, svms={name: head.svms[name] for name in head.svms if name == output})


def randomised(head: HybridHead, part: str, *, seed: int = 0) -> HybridHead:
    """Return a head with the entries of every array of one part permuted at random.

    The values of the entries keep their distribution. The permutation of an array is one cycle, so that no entry stays
    in its place. An array with a single entry does not change.

    Args:
        head: the head.
        part: one of :func:`parts`.
        seed: the seed of the permutations.

    Raises:
        InputError: the head has no such part, or the seed is not valid.

    Example:
        >>> import numpy as np
        >>> from pcacam_jax import hybrid_head
        >>> from pcacam_jax.cam.sanity import randomised
        >>> head = hybrid_head([(np.array([[1.0], [2.0]]), np.zeros(1))], maps_shape=(1, 2, 1))
        >>> randomised(head, "dense:1").cnn.stages[0].kernel.ravel().tolist()
        [2.0, 1.0]
    """
    check_choice("part", part, parts(head))
    rng = np.random.default_rng(checked_seed(seed))
    leaves, structure = jax.tree.flatten(head)
    belongs = [name == part for name in _part_of_each_array(head)]
    changed = [_permuted(leaf, rng) if belonging else leaf for leaf, belonging in zip(leaves, belongs, strict=True)]
    return mark_like(jax.tree.unflatten(structure, changed), head)


def _part_of_each_array(head: HybridHead) -> list[str | None]:
    """Return the part to which each array of a head belongs, in the order of the pytree; None for other arrays."""
    places = [_place(path) for path, _ in jax.tree_util.tree_leaves_with_path(head)]
    layers = list(dict.fromkeys(place for place in places if place[0] in ("dense", "cnn")))
    numbers = {place: f"dense:{number}" for number, place in enumerate(layers, start=1)}
    return [{"pca": "pca", "svms": index}.get(field, numbers.get((field, index))) for field, index in places]


def _place(path: Any) -> tuple[str, Any]:
    """Return (field of the head, name of the SVM or index of the layer) from the path of an array in the pytree."""
    field = path[0].name
    if field == "svms":
        return field, path[1].key
    layer = path[2].idx if field in ("dense", "cnn") and len(path) > 2 and hasattr(path[2], "idx") else None
    return field, layer


def _permuted(array: Any, rng: np.random.Generator) -> Array:
    values = np.asarray(array).ravel()
    order = rng.permutation(values.size)
    cycled = np.empty_like(values)
    cycled[order] = values[np.roll(order, 1)]
    return jnp.asarray(cycled.reshape(np.shape(array)))


def randomisation_test(
    head: HybridHead,
    maps: Float[Array, "B *space K"] | np.ndarray,
    targets: str | Sequence[str],
    *,
    method: str | Method = "hirescam",
    seed: int = 0,
) -> Randomisation:
    """Randomise one part of a head after another, from the output side down, and compare the maps with the original.

    A method that explains the head has low correlations after all steps. "eigencam" does not look at the head, so its
    correlations are 1. The class of a target ``"...:predicted"`` is that of the original head.

    Args:
        head: the head.
        maps: ``(B, *space, K)``, feature maps.
        targets: the targets, as for :func:`pcacam_jax.explain`.
        method: a CAM method that does not change images.
        seed: the seed of the permutations of the parameters, and of methods that sample.

    Returns:
        The parts in the order in which they were randomised, and the correlations after each step.

    Raises:
        InputError: the method changes images, or :func:`pcacam_jax.explain` rejects the arguments.

    Example:
        >>> import numpy as np
        >>> from pcacam_jax import hybrid_head
        >>> from pcacam_jax.cam.sanity import randomisation_test
        >>> rng = np.random.default_rng(0)
        >>> head = hybrid_head([(rng.normal(size=(48, 2)), np.zeros(2))], maps_shape=(4, 4, 3))
        >>> maps = np.abs(rng.normal(size=(1, 4, 4, 3)))
        >>> test = randomisation_test(head, maps, "cnn:0", method="hirescam")
        >>> test.steps, bool(test.correlations[-1, 0, 0] < 0.5)
        (('dense:1',), True)
    """
    chosen = as_method(method)
    if chosen.needs == "images":
        raise InputError(f"randomisation_test needs a method that does not change images; got {chosen.name!r}.")
    if head.columns:
        raise InputError(
            f"randomisation_test needs a head without further columns; this one reads {head.columns}, so use "
            f"head.with_columns(values) for examples with these values."
        )
    original = explain(head, maps, targets, method=chosen, seed=seed)
    outputs = tuple(target.partition(":")[0] for target in original.targets)
    steps = tuple(part for part in parts(head) if any(part in parts(head, output) for output in outputs))
    if not steps:
        raise InputError(f"the parts of the head between the maps and {', '.join(outputs)} have no arrays to permute.")
    compare = functools.partial(
        _correlations,
        maps=checked_maps(head, maps),
        columns=np.asarray(original.columns),
        signed=np.asarray(original.signed),
        settings=(outputs, chosen, seed),
    )
    correlations, changed = [], head
    for number, part in enumerate(steps):
        changed = randomised(changed, part, seed=(seed + number) % 2**32)
        correlations.append(compare(changed))
    touched = np.array([[part in parts(head, output) for output in outputs] for part in steps])
    return Randomisation(
        steps=steps,
        targets=original.targets,
        method=chosen.name,
        on_path=np.logical_or.accumulate(touched, axis=0),
        correlations=np.stack(correlations),
    )


def _correlations(
    head: HybridHead, *, maps: Any, columns: np.ndarray, signed: np.ndarray, settings: tuple
) -> Float[np.ndarray, "B T"]:
    outputs, method, seed = settings
    size = min(len(maps), checked_batch_size(None, default_batch_size(head, "closed_form", len(outputs), method)))
    compare = functools.partial(_correlate_batch, head, outputs=outputs, method=method, seed=np.uint32(seed))
    beside = {"columns": columns, "signed": signed}
    return batched_beside(compare, maps, beside, size, head.dtype, name="randomisation_test")


@functools.partial(jax.jit, static_argnames=("outputs", "method"))
def _correlate_batch(
    head: HybridHead,
    maps: Array,
    *,
    columns: Int[Array, "B T"],
    signed: Float[Array, "B T *space"],
    outputs: tuple[str, ...],
    method: Method,
    seed: Any,
) -> Batch:
    """Return the correlations of a batch of maps with the signed maps of the original head, ``(B, T)``."""

    def one(m: Maps, c: Array, s: Array) -> Float[Array, " T"]:
        example = Example(head, m, Selection(c, outputs))
        return jax.vmap(correlation)(signed_map(example, method, jax.random.key(seed)), s)

    return Batch(all_finite(maps), jax.vmap(one)(maps, columns, signed))
