"""Methods that change images: means over noisy images, and images masked by each map."""

import dataclasses
import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from pcacam_jax.cam import score
from pcacam_jax.cam.compute import Settings, explain_batch
from pcacam_jax.cam.example import Example
from pcacam_jax.cam.method import Method
from pcacam_jax.cam.options import checked_samples, checked_seed
from pcacam_jax.cam.smooth import Means
from pcacam_jax.core.arrays import real_array
from pcacam_jax.core.checks import InputError, check_finite
from pcacam_jax.core.text import shown
from pcacam_jax.head.batches import batched, in_dtype
from pcacam_jax.head.hybrid import HybridHead
from pcacam_jax.head.targets import Selection, columns_of
from pcacam_jax.nets.backbone import Backbone

NOISY_IMAGES = 25
LARGEST_NOISE = 1.0
LARGEST_IMAGE_BATCH = 16
MASKED_IMAGES = 32
"""Number of masked images whose maps are computed at once."""


class ImageOptions(NamedTuple):
    """The arguments of ``explain`` for methods that change images or draw permutations."""

    images: Any
    backbone: Backbone | None
    samples: int | None
    noise: float
    seed: int

    @classmethod
    def checked(cls, images: Any, backbone: Any, samples: Any, noise: Any, seed: Any, method: Method) -> "ImageOptions":
        """Check the arguments.

        Raises:
            InputError: the method needs images or a backbone that are missing, or a number is out of range.
        """
        if samples is not None:
            samples = checked_samples("samples", samples)
        is_number = isinstance(noise, int | float | np.number) and not isinstance(noise, bool)
        if not is_number or not 0 < float(noise) <= LARGEST_NOISE:
            raise InputError(
                f"noise must be a fraction of the range of the images, above 0 and at most 1; got {shown(noise)}."
            )
        seed = checked_seed(seed)
        if method.needs == "images" and (images is None or backbone is None):
            missing = "images= and backbone=" if images is None and backbone is None else "images="
            missing = "backbone=" if images is not None else missing
            raise InputError(
                f"method {method.name!r} changes images, so it needs {missing} beside the maps: the images and a "
                f"pcacam_jax.nets.backbone.Backbone that gives their maps."
            )
        if backbone is not None and not isinstance(backbone, Backbone):
            raise InputError(f"backbone must be a pcacam_jax.nets.backbone.Backbone; got {type(backbone).__name__}.")
        return cls(images, backbone, samples, float(noise), seed)

    def with_samples(self, method: Method) -> Method:
        """Return a method of permutations with this number of them."""
        if self.samples is None or not method.samples:
            return method
        options = dict(method.options) | {"samples": self.samples}
        return dataclasses.replace(method, options=tuple(options.items()))

    def without_images(self, method: Method) -> dict[str, Any]:
        """Return the arguments for a call on a part of the examples.

        Raises:
            InputError: the method needs the images of these examples.
        """
        if method.needs == "images":
            raise InputError(
                f"method {method.name!r} does not take columns=; explain each example with "
                f"head.with_columns(values) and its image."
            )
        return {"samples": self.samples, "seed": self.seed}


def checked_images(options: ImageOptions, maps: Any) -> np.ndarray:
    """Return the images as an array, ``(B, *size, C)``.

    Raises:
        InputError: they are not real numbers, or there is not one image for each example.
    """
    images = np.asarray(real_array("images", options.images, finite=True))
    with np.errstate(over="ignore"):
        images = images.astype(jax.dtypes.canonicalize_dtype(images.dtype))
    check_finite("images", images)  # a large float64 may be infinite in float32
    if images.ndim < 2 or len(images) != len(maps):
        raise InputError(
            f"images must have shape (B, *size, C), one image for each of the {len(maps)} examples; got {images.shape}."
        )
    return images


def explain_with_images(
    head: HybridHead, maps: Any, images: np.ndarray, options: ImageOptions, settings: Settings, size: int, dtype: Any
) -> tuple[Any, Any]:
    """Explain a method that changes images, and return what :func:`pcacam_jax.head.batches.batched` returns."""
    size, parts = min(size, LARGEST_IMAGE_BATCH), []
    collect = _noisy_means if settings.method.statistics else _gains
    for start in range(0, len(maps), size):
        rows = slice(start, min(start + size, len(maps)))
        clean = jnp.asarray(maps[rows], dtype)
        source = _Images(head, clean, images[rows], options, settings, start)
        compiled = functools.partial(
            explain_batch, head, seed=np.uint32(options.seed), statistics=collect(source), settings=settings
        )
        parts.append(batched(compiled, maps[rows], rows.stop - start, dtype))
    if len(parts) == 1:
        return parts[0]
    joined = jax.tree.map(lambda *arrays: np.concatenate(arrays), *jax.device_get(parts))
    return joined[0], jax.tree.map(jnp.asarray, joined[1])


class _Images(NamedTuple):
    """A batch of images with their maps."""

    head: HybridHead
    maps: Array
    images: np.ndarray
    options: ImageOptions
    settings: Settings
    start: int
    """The index of the first one."""

    @property
    def backbone(self) -> Backbone:
        assert self.options.backbone is not None
        return self.options.backbone

    def maps_of(self, inputs: Array) -> Array:
        """Return the maps of preprocessed images in the dtype of the batch.

        Raises:
            InputError: the backbone gives maps of another shape than those that are explained.
        """
        maps = jnp.asarray(self.backbone.maps(inputs), self.maps.dtype)
        if maps.shape[1:] != self.maps.shape[1:]:
            raise InputError(
                f"the backbone must give maps of shape {self.maps.shape[1:]} for the images; got {maps.shape[1:]}: "
                f"give the images in the size and the tap of which the maps were computed."
            )
        return maps


def _noisy_means(source: _Images) -> Means:
    """Return the means of the method's statistics over noisy images."""
    inputs = jnp.asarray(source.backbone.preprocess(source.images))
    low, high = source.backbone.value_range
    count, state = source.options.samples or NOISY_IMAGES, (None, None)
    for n in range(count):
        noisy = _noisy(inputs, np.uint32(source.options.seed), n, source.start, source.options.noise * (high - low))
        statistics = _statistics(
            source.head, source.maps, source.maps_of(noisy), np.uint32(source.options.seed), settings=source.settings
        )
        state = _updated(state, statistics, n + 1) if n else _first(statistics)
    mean, square = state
    return Means(mean, jax.tree.map(lambda s: jnp.sqrt(s / max(count - 1, 1) / count), square))


@jax.jit
def _noisy(inputs: Array, seed: Any, sample: Any, start: Any, deviation: Any) -> Array:
    """Add noise to images; it depends on the seed, the sample and the index of the image, not on the batch."""
    key = jax.random.fold_in(jax.random.key(seed), sample)
    keys = jax.vmap(lambda index: jax.random.fold_in(key, index))(start + jnp.arange(len(inputs)))
    noise = jax.vmap(lambda k: jax.random.normal(k, inputs.shape[1:], inputs.dtype))(keys)
    return inputs + jnp.asarray(deviation, inputs.dtype) * noise


@functools.partial(jax.jit, static_argnames="settings")
def _statistics(head: HybridHead, maps: Array, noisy: Array, seed: Any, *, settings: Settings) -> Any:
    """Return the statistics of a method at noisy maps; the predicted classes are those of the maps without noise."""
    targets, method, backend = settings
    assert method.statistics is not None
    computing = jax.tree.map(in_dtype(maps.dtype), head)

    def one(clean: Array, changed: Array) -> Any:
        selection = Selection(columns_of(computing, clean, targets), tuple(target.output for target in targets))
        example = Example(computing, changed, selection, backend)
        return method.statistics(example, jax.random.key(seed), **dict(method.options))  # pyright: ignore

    return jax.vmap(one)(maps, noisy)


@jax.jit
def _first(statistics: Any) -> tuple[Any, Any]:
    return statistics, jax.tree.map(jnp.zeros_like, statistics)


@jax.jit
def _updated(state: tuple[Any, Any], statistics: Any, count: Any) -> tuple[Any, Any]:
    """Update the means and the sums of squared deviations with one more sample."""
    mean = jax.tree.map(lambda m, s: m + (s - m) / count, state[0], statistics)
    deviations = jax.tree.map(lambda s, old, new: (s - old) * (s - new), statistics, state[0], mean)
    return mean, jax.tree.map(jnp.add, state[1], deviations)


def _gains(source: _Images) -> Array:
    """Return ``y(X * mask_k) - y(baseline)`` of every example, target and map, ``(B, T, K)``; 0 for maps left out."""
    inputs = jnp.asarray(source.backbone.preprocess(source.images))
    top = dict(source.settings.method.options)["top"]
    baseline = source.maps_of(jnp.zeros_like(inputs[:1]))
    result = []
    for maps, image in zip(source.maps, inputs, strict=True):
        channels = score.strongest(maps, top)
        base = _values(source.head, maps, baseline, settings=source.settings)
        gains = []
        for start in range(0, len(channels), MASKED_IMAGES):
            masked = _masked(image, maps, channels[start : start + MASKED_IMAGES])
            gains.append(_values(source.head, maps, source.maps_of(masked), settings=source.settings) - base)
        result.append(
            jnp.zeros((base.shape[1], maps.shape[-1]), maps.dtype).at[:, channels].set(jnp.concatenate(gains).T)
        )
    return jnp.stack(result)


@jax.jit
def _masked(image: Array, maps: Array, channels: Array) -> Array:
    return image[None] * score.masks(maps, channels, image.shape[:-1])[..., None].astype(image.dtype)


@functools.partial(jax.jit, static_argnames="settings")
def _values(head: HybridHead, clean: Array, maps: Array, *, settings: Settings) -> Array:
    """Return the values of the targets at several maps, ``(n, T)``; predicted classes are those of the clean maps."""
    computing, targets = jax.tree.map(in_dtype(maps.dtype), head), settings.targets
    selection = Selection(columns_of(computing, clean, targets), tuple(target.output for target in targets))
    return jax.vmap(lambda m: selection.values(computing(m)))(maps)
