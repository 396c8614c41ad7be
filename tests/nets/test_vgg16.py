import re
import types
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from pcacam_jax.core.checks import InputError
from pcacam_jax.nets import vgg16

PHOTOGRAPHS = Path(__file__).parents[3] / "shared/data/sample/dog_cat/test"


@pytest.fixture(scope="module")
def random_params():
    rng = np.random.default_rng(0)

    def draw(shape):
        scale = np.sqrt(2 / np.prod(shape[:-1])) if len(shape) == 4 else 0.1
        return jnp.asarray(rng.normal(scale=scale, size=shape).astype(np.float32))

    return {
        layer: {part: draw(shape) for part, shape in shapes.items()} for layer, shapes in vgg16.param_shapes().items()
    }


def random_images(*shape, seed=1):
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def caffe(images):
    """Preprocess in plain NumPy, float64."""
    return images[..., ::-1].astype(np.float64) - np.array([103.939, 116.779, 123.68])


def plain_taps(params, x):
    """Compute every tap of one preprocessed image (H, W, 3) in NumPy, float64."""
    taps = {}
    for tap in vgg16.TAPS:
        if tap.endswith("pool"):
            height, width = x.shape[0] // 2, x.shape[1] // 2
            x = x[: 2 * height, : 2 * width].reshape(height, 2, width, 2, -1).max((1, 3))
        else:
            kernel, bias = (np.asarray(params[tap][part], np.float64) for part in ("kernel", "bias"))
            windows = np.lib.stride_tricks.sliding_window_view(np.pad(x, ((1, 1), (1, 1), (0, 0))), (3, 3), (0, 1))
            x = np.maximum(np.tensordot(windows, kernel, ([3, 4, 2], [0, 1, 2])) + bias, 0)
        taps[tap] = x
    return taps


def assert_close(actual, expected, relative):
    actual, expected = np.asarray(actual, np.float64), np.asarray(expected, np.float64)
    assert actual.shape == expected.shape
    difference = actual - expected
    assert np.linalg.norm(difference) <= relative * np.linalg.norm(expected)
    assert np.abs(difference).max() <= relative * np.abs(expected).max()


def test_every_tap_equals_a_numpy_computation_and_needs_no_later_layer(random_params):
    image = random_images(33, 47, 3)
    expected = plain_taps(random_params, caffe(image))
    for tap in vgg16.TAPS:
        layers = {layer: random_params[layer] for layer in vgg16.param_shapes(tap)}
        maps = vgg16.features(layers, image[None], tap=tap)
        assert maps.dtype == jnp.float32
        assert maps.shape[1:] == vgg16.maps_shape((33, 47), tap)
        assert_close(maps[0], expected[tap], 1e-5)


def test_every_tap_agrees_with_onnx_runtime_on_the_published_weights(params, onnx_taps):
    images = random_images(2, 32, 45, 3)
    expected = onnx_taps(caffe(images))
    for tap in vgg16.TAPS:
        assert_close(vgg16.features(params, images, tap=tap), expected[tap], 1e-4)


def test_photographs_agree_with_onnx_runtime(params, onnx_taps):
    if not PHOTOGRAPHS.is_dir():
        pytest.skip("the photographs of the dog_cat sample are not beside this checkout")
    files = [sorted((PHOTOGRAPHS / name).iterdir())[0] for name in ("cat", "dog")]
    images = np.stack([np.asarray(Image.open(file).convert("RGB")) for file in files])
    assert images.shape == (2, 224, 224, 3)
    maps = vgg16.features(params, images)
    assert maps.shape == (2, 7, 7, 512)
    assert_close(maps, onnx_taps(caffe(images))["block5_pool"], 1e-4)


def test_unit_scaling_agrees_with_onnx_runtime(params, onnx_taps):
    images = random_images(1, 64, 64, 3)
    assert_close(vgg16.features(params, images, scaling="unit"), onnx_taps(images / 255)["block5_pool"], 1e-4)


def test_no_layer_after_the_tap_is_traced(random_params):
    for tap, convolutions in (("block1_conv1", 1), ("block3_pool", 7), ("block5_conv3", 13)):
        jaxpr = jax.make_jaxpr(lambda images, tap=tap: vgg16.features(random_params, images, tap=tap))(
            jnp.zeros((1, 32, 32, 3))
        )
        assert str(jaxpr).count("conv_general_dilated[") == convolutions


@pytest.mark.parametrize(
    ("size", "tap", "expected"),
    [
        ((224, 224), "block5_pool", (7, 7, 512)),
        ((224, 224), "block5_conv3", (14, 14, 512)),
        ((33, 47), "block1_pool", (16, 23, 64)),
        ((63, 32), "block5_pool", (1, 1, 512)),
        ((96, 96), "block2_conv2", (48, 48, 128)),
    ],
)
def test_maps_shape(size, tap, expected):
    assert vgg16.maps_shape(size, tap) == expected


def test_smallest_images(random_params):
    assert vgg16.features(random_params, random_images(2, 32, 32, 3)).shape == (2, 1, 1, 512)
    for size in ((31, 32), (32, 31)):
        with pytest.raises(InputError, match=rf"at least 32 x 32 pixels for VGG16; got {size[0]} x {size[1]}"):
            vgg16.features(random_params, random_images(2, *size, 3))


def test_grey_is_repeated(random_params):
    grey = random_images(2, 32, 32)
    colour = np.repeat(grey[..., None], 3, axis=-1)
    expected = vgg16.features(random_params, colour, tap="block2_pool")
    for images in (grey, grey[..., None], grey.astype(np.float64)):
        np.testing.assert_array_equal(vgg16.features(random_params, images, tap="block2_pool"), expected)


def test_preprocess():
    images = random_images(2, 4, 5, 3)
    assert_close(vgg16.preprocess(images, "caffe"), caffe(images), 1e-6)
    assert_close(vgg16.preprocess(images, "unit"), images / 255, 1e-6)
    assert vgg16.preprocess(images, "unit").dtype == jnp.float32


def test_bfloat16_is_close(params):
    images = random_images(1, 64, 64, 3)
    exact = vgg16.features(params, images)
    rounded = vgg16.features(params, images, dtype=jnp.bfloat16)
    assert rounded.dtype == jnp.float32
    assert_close(rounded, exact, 3e-2)
    assert not np.array_equal(rounded, exact)


def device(platform="gpu", capability="9.0"):
    return types.SimpleNamespace(platform=platform, compute_capability=capability, device_kind="a device of this test")


@pytest.mark.parametrize(
    ("dtype", "expected"),
    [("float32", "Precision.HIGHEST"), ("tensorfloat32", "Precision.DEFAULT"), ("bfloat16", "None")],
)
def test_float32_products_keep_all_bits_unless_tensorfloat32_is_chosen(random_params, monkeypatch, dtype, expected):
    monkeypatch.setattr(jax, "devices", lambda: [device()])
    jaxpr = str(jax.make_jaxpr(lambda x: vgg16.features(random_params, x, dtype=dtype))(jnp.zeros((1, 32, 32, 3))))
    assert set(re.findall(r"precision=\(?([\w.]+)", jaxpr)) == {expected}
    assert ("bf16[1,32,32,64] = conv_general_dilated" in jaxpr) == (dtype == "bfloat16")


@pytest.mark.parametrize("without", [device("cpu", None), device(capability="7.5"), device(capability="gfx942")])
def test_tensorfloat32_is_rejected_where_the_device_does_not_have_it(random_params, monkeypatch, without):
    monkeypatch.setattr(jax, "devices", lambda: [without])
    message = r"^tensorfloat32 needs an NVIDIA GPU with compute capability 8\.0 or higher; JAX computes on a device of "
    with pytest.raises(InputError, match=message + r"this test; choose float32 or bfloat16\.$"):
        vgg16.features(random_params, np.zeros((1, 32, 32, 3), np.uint8), dtype="tensorfloat32")
    assert [vgg16.available_dtype(dtype) for dtype in vgg16.PRECISIONS] == ["float32", "float32", "bfloat16"]


def test_jit_and_vmap(random_params):
    images = jnp.asarray(random_images(2, 3, 32, 32, 3))
    compiled = jax.jit(vgg16.features, static_argnames=("tap", "scaling", "dtype"))
    mapped = jax.vmap(lambda batch: compiled(random_params, batch, tap="block3_pool"))(images)
    assert mapped.shape == (2, 3, 4, 4, 256)
    assert_close(mapped[1], vgg16.features(random_params, images[1], tap="block3_pool"), 1e-5)


@pytest.mark.parametrize(
    ("shape", "options", "sentence"),
    [
        ((32, 32), {}, "must have the shape"),
        ((1, 32, 32, 4), {}, "must have the shape"),
        ((1, 3, 32, 32), {}, "channels last"),
        ((32, 32, 3), {}, r"pass images\[None\]"),
        ((1, 32, 32, 3), {"tap": "block6_pool"}, "tap must be one of block1_conv1"),
        ((1, 32, 32, 3), {"scaling": "torch"}, "scaling must be one of caffe, unit"),
        ((1, 32, 32, 3), {"dtype": jnp.float16}, "dtype must be one of float32, tensorfloat32, bfloat16"),
    ],
)
def test_bad_input_is_rejected(random_params, shape, options, sentence):
    with pytest.raises(InputError, match=sentence):
        vgg16.features(random_params, np.zeros(shape, np.uint8), **options)


def test_images_that_are_not_numbers_are_rejected(random_params):
    with pytest.raises(InputError, match=r"integers or floats in 0\.\.255; got the dtype bool"):
        vgg16.features(random_params, np.zeros((1, 32, 32, 3), bool))


def test_parameters_are_checked(random_params):
    images = random_images(1, 32, 32, 3)
    with pytest.raises(InputError, match="must hold block1_conv1/kernel"):
        vgg16.features({}, images)
    wrong = {**random_params, "block1_conv2": {"kernel": jnp.zeros((3, 3, 64, 32)), "bias": jnp.zeros(64)}}
    with pytest.raises(InputError, match="block1_conv2/kernel must have shape"):
        vgg16.features(wrong, images)
