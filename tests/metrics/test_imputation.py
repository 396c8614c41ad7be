"""ROAD: the imputation against a dense solution of its linear system, and the score against loops."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pcacam_jax import InputError
from pcacam_jax.metrics import imputation, impute, road

RNG = np.random.default_rng(0)
KEY = jax.random.key(0)
IMAGE = RNG.normal(size=(7, 6, 2)) + 10
imputed = jax.jit(functools.partial(impute, key=KEY))


def dense_imputation(image, kept):
    """Write down one equation for each pixel, and solve them all."""
    height, width, channels = image.shape
    system, right = np.zeros((height * width, height * width)), np.zeros((height * width, channels))
    for y in range(height):
        for x in range(width):
            row = y * width + x
            if kept[y, x]:
                system[row, row], right[row] = 1, image[y, x]
                continue
            for v in range(max(0, y - 1), min(height, y + 2)):
                for u in range(max(0, x - 1), min(width, x + 2)):
                    distance = abs(v - y) + abs(u - x)
                    weight = {0: 0, 1: 1 / 6, 2: 1 / 12}[distance]
                    system[row, row] += weight
                    system[row, v * width + u] -= weight
    return np.linalg.solve(system, right).reshape(image.shape)


def masks():
    kept = RNG.random((7, 6)) > 0.5
    block = np.ones((7, 6), bool)
    block[:5, 1:] = False
    single = np.zeros((7, 6), bool)
    single[2, 3] = True
    return {"scattered": kept, "a corner": block, "all but one": single, "none": np.ones((7, 6), bool)}


@pytest.mark.parametrize("kind", masks())
def test_imputation_solves_its_linear_system(kind, x64):
    kept = masks()[kind]
    result = imputed(IMAGE, np.where(kept, 0.6, 0.4), noise=0.0)  # the pixels of at least 0.5 are kept
    np.testing.assert_allclose(result, dense_imputation(IMAGE, kept), atol=2e-4)
    np.testing.assert_array_equal(np.asarray(result)[kept], IMAGE[kept])


def test_a_linear_ramp_is_continued_inside(x64):
    ramp = np.broadcast_to(np.arange(6.0)[None, :, None], (7, 6, 2))
    kept = np.ones((7, 6))
    kept[2:5, 1:5] = 0
    np.testing.assert_allclose(imputed(ramp, kept, noise=0.0), ramp, atol=1e-4)


def test_an_image_without_kept_pixels_has_the_mean(x64):
    result = imputed(IMAGE, np.zeros((7, 6)), noise=0.0)
    np.testing.assert_allclose(result, np.broadcast_to(IMAGE.mean((0, 1)), IMAGE.shape), rtol=1e-12)


def test_noise_is_a_fraction_of_the_range_on_removed_pixels(x64):
    kept = masks()["scattered"]
    clean, noisy, again = (np.asarray(imputed(IMAGE, kept.astype(float), noise=noise)) for noise in (0.0, 0.05, 0.05))
    drawn = np.asarray(jax.random.normal(KEY, IMAGE.shape))
    expected = clean + 0.05 * (IMAGE.max() - IMAGE.min()) * np.where(kept[:, :, None], 0, drawn)
    np.testing.assert_allclose(noisy, expected, rtol=1e-12)
    np.testing.assert_array_equal(noisy, again)


def test_a_solution_that_has_not_converged_is_nan(monkeypatch):
    monkeypatch.setattr(imputation, "ITERATIONS", 1)
    kept = masks()["a corner"]
    result = np.asarray(jax.jit(lambda kept: impute(IMAGE, kept, KEY))(kept))
    assert np.isnan(result[~kept]).all()
    np.testing.assert_allclose(result[kept], IMAGE[kept], rtol=1e-6)


def value_of_image(image):
    return jnp.sum(image[..., 0] ** 2) - jnp.sum(image[..., 1])


FRACTIONS = (0.0, 0.1, 0.5, 0.5)
compiled = jax.jit(lambda heatmap, noise: road(value_of_image, IMAGE, heatmap, KEY, fractions=FRACTIONS, noise=noise))


def roads(heatmap, noise=0.0):
    return compiled(heatmap, noise)


def test_road_equals_loops(x64):
    heatmap = RNG.permutation(42).reshape(7, 6).astype(float)
    result = roads(heatmap)
    for order, values in ((-heatmap, result.most_first), (heatmap, result.least_first)):
        for fraction, value in zip(FRACTIONS, values, strict=True):
            kept = np.ones(42, bool)
            kept[np.argsort(order.ravel())[: int(np.floor(fraction * 42 + 0.5))]] = False
            image = dense_imputation(IMAGE, kept.reshape(7, 6))
            expected = (image[..., 0] ** 2).sum() - image[..., 1].sum()
            assert float(value) == pytest.approx(expected, abs=0.05)
    halves = (np.asarray(result.least_first) - np.asarray(result.most_first)) / 2
    assert float(result.score) == pytest.approx(halves.mean())
    assert abs(halves[1:]).min() > 0.5  # far above the tolerance


def test_the_sign_of_the_score(x64):
    bright = IMAGE[..., 0] - 10
    assert float(roads(bright).score) > 20
    assert float(roads(-bright).score) == pytest.approx(-float(roads(bright).score))
    for constant in (0.0, 2.0, -1.0):
        assert float(roads(np.full((7, 6), constant)).score) == 0


def test_both_orders_have_the_same_noise_and_fractions_have_different_noise(x64):
    result = roads(np.zeros((7, 6)), 0.1)
    np.testing.assert_array_equal(result.most_first, result.least_first)
    assert abs(float(result.most_first[2] - result.most_first[3])) > 0.01
    assert float(result.most_first[0]) == pytest.approx(float(value_of_image(IMAGE)))  # nothing is removed


@pytest.mark.exhaustive
def test_batches_of_images():
    images, heatmaps = RNG.normal(size=(3, 7, 6, 2)), RNG.normal(size=(3, 7, 6))

    def scores(image, heatmap):
        return road(value_of_image, image, heatmap, KEY, batch_size=5)

    results = jax.jit(jax.vmap(scores))(images, heatmaps)
    assert results.most_first.shape == results.least_first.shape == (3, 9)
    for index in range(3):
        expected = jax.jit(scores)(images[index], heatmaps[index])
        np.testing.assert_allclose(results.most_first[index], expected.most_first, rtol=1e-3)
        np.testing.assert_allclose(results.score[index], expected.score, atol=1e-2)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: road(jnp.sum, IMAGE, np.ones((3, 3)), KEY),
            "heatmap must have the shape of the image, (7, 6); got (3, 3); resize the heatmap.",
        ),
        (
            lambda: road(jnp.sum, IMAGE[0], np.ones((7, 6)), KEY),
            "image must be one image (H, W, C); got the shape (6, 2); use jax.vmap for a batch.",
        ),
        (
            lambda: road(jnp.sum, IMAGE, np.ones((7, 6)), KEY, fractions=[-0.1]),
            "each of fractions must be a number in 0..1; got -0.1.",
        ),
        (
            lambda: impute(IMAGE, np.ones((7, 7)), KEY),
            "mask must have the shape of the image, (7, 6); got (7, 7); resize the mask.",
        ),
        (lambda: impute(IMAGE, np.ones((7, 6)), KEY, noise=-1), "noise must be a number of at least 0; got -1."),
    ],
    ids=range(5),
)
def test_bad_input_is_rejected_with_a_sentence(call, message):
    with pytest.raises(InputError) as caught:
        jax.eval_shape(call)  # nothing is compiled
    assert str(caught.value) == message
