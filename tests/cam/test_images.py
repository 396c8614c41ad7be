"""The methods that change images: what the backbone is given, how often, and what is made of its maps."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from support import cam_oracle

from pcacam_jax import InputError, explain, hybrid_head
from pcacam_jax.cam.methods import cam_method
from pcacam_jax.core.numerics import relative_error
from pcacam_jax.nets.backbone import Backbone

RANDOM = np.random.default_rng(0)
IMAGES = RANDOM.integers(0, 256, (3, 6, 8, 3)).astype(np.uint8)
FILTERS = RANDOM.normal(size=(3, 5))


@pytest.fixture(autouse=True)
def _in_float64(x64):
    return x64


@functools.cache
def head():
    rng = np.random.default_rng(1)
    dense = [(rng.normal(size=(60, 6)) / 3, rng.normal(size=6)), (rng.normal(size=(6, 3)), np.zeros(3))]
    with jax.enable_x64(True):
        return hybrid_head(dense, maps_shape=(3, 4, 5), at=1, activation="tanh")


def network(inputs):
    """A small backbone in NumPy: mean of 2 x 2 pixels, five filters, ReLU; the last map is positive everywhere."""
    inputs = np.asarray(inputs, np.float64)
    pooled = inputs.reshape(len(inputs), 3, 2, 4, 2, 3).mean(axis=(2, 4))
    return np.maximum(pooled @ FILTERS + np.array([0, 0, 0, 0, 3]), 0)


class Recorder:
    """A backbone that keeps the inputs of all its calls."""

    def __init__(self):
        self.calls = []
        self.backbone = Backbone(lambda images: np.asarray(images, np.float64) / 255 - 0.5, self.maps, (-0.5, 0.5))

    def maps(self, inputs):
        self.calls.append(np.asarray(inputs))
        return network(inputs)


def gradient(maps, t):
    return np.asarray(jax.grad(lambda m: head()(m)["cnn"][t])(jnp.asarray(maps)))


def explained(method, **options):
    recorder = Recorder()
    maps = network(np.asarray(IMAGES, np.float64) / 255 - 0.5)
    result = explain(
        head(), maps, ["cnn:0", "cnn:2"], method=method, images=IMAGES, backbone=recorder.backbone, **options
    )
    return result, recorder.calls, maps


def test_the_mean_over_noisy_images_is_that_of_the_signed_maps():
    result, calls, _ = explained("smooth(xgradcam)", samples=4, noise=0.1)
    assert [call.shape for call in calls] == [(3, 6, 8, 3)] * 4, "one forward pass of all images for each sample"
    for b, t in np.ndindex(3, 2):
        maps = [cam_oracle.xgrad_cam(gradient(m, 2 * t), m) for m in (network(call)[b] for call in calls)]
        mean = np.mean(maps, axis=0)
        assert relative_error(result.signed[b, t], mean) < 1e-10
        assert relative_error(result.standard_errors[b, t], np.std(maps, axis=0, ddof=1) / 2) < 1e-9


def test_a_method_of_two_passes_is_averaged_for_each_sign_before_the_relu():
    result, calls, _ = explained("smooth(gradcam++)", samples=3)
    for b, t in np.ndindex(3, 2):
        for part, sign in ((result.positive, 1), (result.negative, -1)):
            noisy = [network(call)[b] for call in calls]
            mean = np.mean([cam_oracle.grad_cam_plus_plus(sign * gradient(m, 2 * t), m) for m in noisy], axis=0)
            assert relative_error(part[b, t], np.maximum(mean, 0)) < 1e-10


def test_smooth_grad_cam_plus_plus_averages_three_powers_of_the_gradient():
    result, calls, clean = explained("smooth_gradcam++", samples=3)
    for b, t in np.ndindex(3, 2):
        g = np.array([gradient(network(call)[b], 2 * t) for call in calls])
        for part, sign in ((result.positive, 1), (result.negative, -1)):
            first, second, third = (np.mean((sign * g) ** power, axis=0) for power in (1, 2, 3))
            alpha = second / (2 * second + clean[b].sum(axis=(0, 1)) * third)
            weights = (alpha * np.maximum(first, 0)).sum(axis=(0, 1))
            expected = np.maximum(cam_oracle.weighted(weights, clean[b]), 0)
            assert relative_error(part[b, t], expected) < 1e-10


def test_noise_is_a_fraction_of_the_range_and_depends_on_the_seed_alone():
    _, calls, _ = explained("smooth(gradcam)", samples=40, noise=0.2)
    clean = np.asarray(IMAGES, np.float64) / 255 - 0.5
    added = np.array(calls) - clean
    assert abs(added.mean()) < 0.01
    assert abs(added.std() - 0.2) < 0.005
    assert len({call.tobytes() for call in calls}) == 40
    whole, _, _ = explained("smooth(gradcam)", samples=3, seed=5)
    parts, calls, _ = explained("smooth(gradcam)", samples=3, seed=5, batch_size=2)
    assert [len(call) for call in calls] == [2, 2, 2, 1, 1, 1]
    assert relative_error(parts.signed, whole.signed) < 1e-12
    other, _, _ = explained("smooth(gradcam)", samples=3, seed=6)
    assert relative_error(other.signed, whole.signed) > 1e-3


# --- Score-CAM --------------------------------------------------------------------------------------------------------


def enlarged(mask, height, width):
    """Bilinear interpolation between the centres of cells, the nearest value beyond the outermost centres."""
    out = np.zeros((height, width))
    for i, j in np.ndindex(height, width):
        y = min(max((i + 0.5) * mask.shape[0] / height - 0.5, 0), mask.shape[0] - 1)
        x = min(max((j + 0.5) * mask.shape[1] / width - 0.5, 0), mask.shape[1] - 1)
        top, left = int(y), int(x)
        bottom, right = min(top + 1, mask.shape[0] - 1), min(left + 1, mask.shape[1] - 1)
        upper = mask[top, left] * (1 - x + left) + mask[top, right] * (x - left)
        lower = mask[bottom, left] * (1 - x + left) + mask[bottom, right] * (x - left)
        out[i, j] = upper * (1 - y + top) + lower * (y - top)
    return out


def score_weights(b, maps, t, channels):
    image, a = np.asarray(IMAGES[b], np.float64) / 255 - 0.5, np.zeros(5)
    value = lambda inputs: float(head()(jnp.asarray(network(inputs[None])[0]))["cnn"][2 * t])  # noqa: E731
    for k in channels:
        low, high = maps[b, ..., k].min(), maps[b, ..., k].max()
        mask = (maps[b, ..., k] - low) / (high - low) if high > low else np.zeros(maps.shape[1:3])
        a[k] = value(image * enlarged(mask, 6, 8)[..., None]) - value(np.zeros_like(image))
    return a


def test_score_cam_masks_the_image_with_every_map():
    result, calls, maps = explained("scorecam")
    assert [len(call) for call in calls] == [1, 5, 5, 5], "one baseline, and one image for each map, for all targets"
    for b, t in np.ndindex(3, 2):
        weights = score_weights(b, maps, t, range(5))
        assert np.linalg.norm(weights) > 1e-2
        assert relative_error(result.weights[b, t], weights) < 1e-6
        assert relative_error(result.signed[b, t], cam_oracle.weighted(weights, maps[b])) < 1e-6


def test_score_cam_of_the_strongest_maps_leaves_the_others_out():
    result, calls, maps = explained(cam_method("scorecam", top=2))
    assert [len(call) for call in calls] == [1, 2, 2, 2]
    for b in range(3):
        strongest = np.argsort(-np.ptp(maps[b], axis=(0, 1)))[:2]
        assert relative_error(result.weights[b, 0], score_weights(b, maps, 0, strongest)) < 1e-6


# --- bad input --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"images": None}, "'scorecam' changes images, so it needs images= beside the maps"),
        ({"backbone": None}, "'scorecam' changes images, so it needs backbone= beside the maps"),
        ({"images": None, "backbone": None}, "so it needs images= and backbone= beside the maps"),
        ({"backbone": network}, "backbone must be a pcacam_jax.nets.backbone.Backbone; got function"),
        ({"images": IMAGES[:2]}, r"one image for each of the 3 examples; got \(2, 6, 8, 3\)"),
        ({"images": np.zeros((3, 8, 8, 3))}, r"must give maps of shape \(3, 4, 5\) for the images; got \(4, 4, 5\)"),
        ({"noise": 0.0}, "noise must be a fraction of the range of the images, above 0 and at most 1; got 0.0"),
        ({"noise": 1.5}, "above 0 and at most 1; got 1.5"),
        ({"noise": "large"}, "above 0 and at most 1; got 'large'"),
        ({"samples": 0}, "samples must be an integer of at least 1; got 0"),
        ({"samples": 10**9}, "samples must be at most 100,000; got 1000000000"),
        ({"seed": -1}, r"seed must be an integer from 0 to 2\^32 - 1; got -1"),
        ({"method": "smooth(scorecam)"}, r"smooth\(...\) needs a method that does not change images itself"),
        ({"method": "smooth(none)"}, "method must be one of gradcam, .*; got 'none'"),
        ({"method": "smooth(gradcam)", "scale_free": True}, "scale_free needs a method of which a factor"),
    ],
)
def test_bad_input_raises_one_sentence(options, sentence):
    maps = np.ones((3, 3, 4, 5))
    flexible = lambda x: np.ones((len(x), x.shape[1] // 2, 4, 5))  # noqa: E731
    backbone = Backbone(lambda images: np.asarray(images, float), flexible, (0.0, 255.0))
    call = {"method": "scorecam", "images": IMAGES, "backbone": backbone} | options
    with pytest.raises(InputError, match=sentence) as raised:
        explain(head(), maps, "cnn:0", **call)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("name", "options", "sentence"),
    [
        ("gradcam", {"scale": 2}, "method 'gradcam' has no options; got 'scale'"),
        ("gradcam++", {"scale": 2}, "an option of 'gradcam\\+\\+' must be one of target_scale; got 'scale'"),
        ("gradcam++", {"target_scale": 0}, "target_scale must be a positive number; got 0"),
        ("scorecam", {"top": 0}, "top must be an integer of at least 1; got 0"),
        ("shapcam", {"players": "pixels"}, "players must be one of positions, maps; got 'pixels'"),
        ("shapcam", {"tolerance": -1}, "tolerance must be a number of at least 0; got -1"),
    ],
)
def test_bad_options_of_a_method_raise_one_sentence(name, options, sentence):
    with pytest.raises(InputError, match=sentence):
        cam_method(name, **options)


def test_methods_without_images_do_not_call_the_backbone():
    for method in ("hirescam", "shapcam"):
        assert explained(method)[1] == []
