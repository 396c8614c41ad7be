"""Heatmaps of targets on feature maps: per batch, one forward pass and one backward pass for all targets."""

import contextlib
import dataclasses
import functools
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from jaxtyping import Array, Float

from pcacam_jax.cam.compute import Explained, Settings, explain_batch, explained_example
from pcacam_jax.cam.images import ImageOptions, checked_images, explain_with_images
from pcacam_jax.cam.memory import default_batch_size
from pcacam_jax.cam.method import Method
from pcacam_jax.cam.methods import as_method
from pcacam_jax.core.checks import InputError, check_choice, check_flag
from pcacam_jax.core.explanation import Explanation, component_names
from pcacam_jax.core.types import Maps
from pcacam_jax.head.batches import batched, check_explained, check_not_traced, checked_batch_size, checked_maps
from pcacam_jax.head.columns import check_columns, with_each_row
from pcacam_jax.head.hybrid import HybridHead
from pcacam_jax.head.targets import Target, parse_targets
from pcacam_jax.nets.backbone import Backbone
from pcacam_jax.stages.jacobian import BACKENDS
from pcacam_jax.stages.kernel_expansion import has_exponential_kernel, relative_kernels


def explain(
    head: HybridHead,
    maps: Float[Array, "B h w K"] | np.ndarray,
    targets: str | Sequence[str],
    *,
    method: str | Method = "hirescam",
    backend: str = "closed_form",
    batch_size: int | None = None,
    scale_free: bool = False,
    columns: Float[Array, "B c"] | np.ndarray | None = None,
    images: Any = None,
    backbone: Backbone | None = None,
    samples: int | None = None,
    noise: float = 0.15,
    seed: int = 0,
) -> Explanation:
    """Compute the heatmaps of targets on a batch of feature maps (Eq. 8-11, 14 for the method "gradcam").

    Args:
        head: a head from :func:`pcacam_jax.hybrid_head` or of a loaded run.
        maps: ``(B, h, w, K)`` feature maps at the tap, channels last, from any framework.
        targets: ``"pca"`` (all components), ``"pca:0"``, ``"cnn:3"``, ``"svm_rbf:predicted"``,
            ``"svm_rbf:<class name>"``, or a list of such names.
        method: the CAM method: a name of :data:`pcacam_jax.cam.methods.METHODS`, such as ``"hirescam"`` or
            ``"gradcam"``, the paper's; ``"smooth(hirescam)"``; or the result of
            :func:`pcacam_jax.cam.methods.cam_method`.
        backend: how derivatives are computed: ``"closed_form"``, ``"reverse"``, ``"forward"`` or
            ``"finite_difference"``, see :func:`pcacam_jax.jacobian`.
        batch_size: number of examples per batch, which bounds memory. The default is at most 256, and 4 for the
            backends other than ``"closed_form"``.
        scale_free: whether to divide the gradients of RBF SVMs (and of an RBF kernel PCA) by their largest kernel
            value, so that they do not underflow. Each of their maps is then multiplied by a positive factor, which
            differs between examples and targets. Only for methods of which a factor of the gradient is a factor of
            the map.
        columns: ``(B, c)``, the values of further columns, such as clinical values, for a head whose SVMs read them
            behind the components. They are held fixed: the maps show the dependence on the image alone.
        images: ``(B, *size, C)``, the images of the maps, for methods that change images ("scorecam",
            "smooth_gradcam++" and ``smooth(...)``).
        backbone: what gives the maps of images, for these methods.
        samples: the number of noisy images, 25 by default, or of permutations of "shapcam", 64 by default.
        noise: the standard deviation of the noise, a fraction of the range of preprocessed images.
        seed: the seed of noise and permutations.

    Returns:
        The heatmaps, ``(B, T, h, w)``, and the values of the T targets.

    Raises:
        InputError: the maps have another shape or are not finite; a target, the method or the backend is unknown; the
            method is not defined for a target, or needs images; a stage has no scale-free form or no second
            derivative; or the values or heatmaps of an example are not finite.
        TypeError: ``head`` is not a head, a target is not a string, or ``scale_free`` is not a bool.

    Example:
        >>> import numpy as np
        >>> from pcacam_jax import explain, hybrid_head
        >>> dense = [(np.array([[1.0, -1.0], [2.0, 0.0]]), np.zeros(2))]
        >>> head = hybrid_head(dense, maps_shape=(1, 1, 2), at=1)
        >>> explanation = explain(head, np.ones((1, 1, 1, 2)), ["cnn:0", "cnn:1"])
        >>> explanation.signed.ravel().tolist()
        [3.0, -1.0]
    """
    if not isinstance(head, HybridHead):
        raise TypeError(f"head must be a HybridHead, from pcacam_jax.hybrid_head; got {type(head).__name__}.")
    chosen = as_method(method)
    check_choice("backend", backend, BACKENDS)
    check_flag("scale_free", scale_free)
    check_not_traced("explain", head, maps)
    check_columns(head, columns)
    options = ImageOptions.checked(images, backbone, samples, noise, seed, chosen)
    if columns is not None:
        same = {"method": chosen, "backend": backend, "batch_size": batch_size, "scale_free": scale_free}
        same |= options.without_images(chosen)
        return with_each_row(functools.partial(explain, targets=targets, **same), head, maps, columns)
    parsed = parse_targets(head, targets)
    if chosen.check is not None:
        chosen.check(head, parsed)
    maps = checked_maps(head, maps)
    size = checked_batch_size(batch_size, default_batch_size(head, backend, len(parsed), chosen))
    explained = scale_free_head(head, parsed, backend, chosen) if scale_free else head
    settings = Settings(parsed, options.with_samples(chosen), backend)
    # Central differences are too coarse in float32, so they are computed in float64 whatever the dtype of the head.
    with jax.enable_x64(True) if backend == "finite_difference" else contextlib.nullcontext():
        dtype = jax.dtypes.canonicalize_dtype("float64" if backend == "finite_difference" else head.dtype)
        if chosen.needs == "images":
            images = checked_images(options, maps)
            flags, result = explain_with_images(explained, maps, images, options, settings, size, dtype)
        else:
            compiled = functools.partial(explain_batch, explained, seed=np.uint32(options.seed), settings=settings)
            flags, result = batched(compiled, maps, size, dtype)
    names = tuple(target.name for target in parsed)
    check_explained(names, flags.finite, head.dtype)
    entries = head.outputs | {"pca": component_names(len(head.outputs.get("pca", ())))}
    entries = {output: np.array(entries[output]) for output in {target.output for target in parsed}}
    labels = [entries[target.output][flags.columns[:, t]] for t, target in enumerate(parsed)]
    return Explanation(
        targets=names,
        labels=np.stack(labels, axis=1),
        spaces=tuple(head.space(target.output) for target in parsed),
        vanished=flags.vanished,
        method=chosen.name,
        backend=backend,
        scale_free=explained is not head,
        shares=() if flags.shares is None else tuple(map(float, flags.shares[0])),
        options=settings.method.named_options,
        rule=chosen.rule,
        **result,
    )


def scale_free_head(head: HybridHead, targets: tuple[Target, ...], backend: str, method: Method) -> HybridHead:
    """Return the head with scale-free RBF kernels in the stages of the targets, or ``head`` itself if there are none.

    Raises:
        InputError: the backend is not ``"closed_form"``, the method is not homogeneous, or a stage has no scale-free
            form.
    """
    if backend != "closed_form":
        raise InputError(
            "scale_free needs backend='closed_form', because the other backends differentiate the values, whose "
            f"gradients underflow; got {backend!r}."
        )
    if not method.homogeneous:
        raise InputError(
            f"scale_free needs a method of which a factor of the gradient is a factor of the map, such as 'gradcam' or "
            f"'hirescam'; got {method.name!r}."
        )
    outputs = {target.output for target in targets} - {"cnn"}
    relative = {
        name: relative_kernels(svm) for name, svm in head.svms.items() if name in outputs and _can_underflow(svm)
    }
    reducer = relative_kernels(head.pca) if outputs and _can_underflow(head.pca) else head.pca
    if not relative and reducer is head.pca:
        return head
    return dataclasses.replace(head, pca=reducer, svms={**head.svms, **relative})


def _can_underflow(stage: Any) -> bool:
    return stage is not None and has_exponential_kernel(stage)


def explain_example(
    head: HybridHead,
    maps: Maps,
    *,
    targets: tuple[Target, ...],
    method: str | Method = "hirescam",
    backend: str = "closed_form",
    seed: Any = 0,
) -> Explained:
    """Return the array fields of :class:`Explanation` for one example; usable inside ``jit`` and ``vmap``.

    Args:
        head: a head.
        maps: ``(*space, K)``.
        targets: parsed targets, see :func:`pcacam_jax.head.targets.parse_targets`.
        method: a method that does not need images.
        backend: as in :func:`explain`.
        seed: the seed of a sampling method.
    """
    chosen = as_method(method)
    if chosen.needs == "images":
        raise InputError(f"method {chosen.name!r} changes images, so it has no form for one example; use explain.")
    settings = Settings(targets, chosen, backend)
    return explained_example(head, maps, jax.random.key(seed), None, settings=settings, dtype=head.dtype)
