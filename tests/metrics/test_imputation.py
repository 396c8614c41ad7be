"""ROAD: the imputation against a dense solution of its linear system, and the score against loops."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from support.marks import more

from pcacam_jax import InputError
from pcacam_jax.metrics import imputation, impute, road

RNG = np.random.default_rng(0)
KEY = jax.random.key(0)
IMAGE = RNG.normal(size=(7, 6, 2)) + 10
imputed = jax.jit(functools.partial(impute, key=KEY), static_argnames="noise")


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
    result = imputed(IMAGE, kept.astype(float), noise=0.0)
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


def test_noise_is_a_fraction_of_the_range_on_removed_pixels():
    image = RNG.uniform(-100, 300, (40, 50, 3)).astype(np.float32)
    kept = RNG.random((40, 50)) > 0.5
    many = jax.jit(lambda image, kept: [impute(image, kept, KEY, noise=noise) for noise in (0.0, 0.05, 0.05)])
    clean, noisy, again = map(np.asarray, many(image, kept))
    difference = noisy - clean
    assert (difference[kept] == 0).all()
    assert difference[~kept].std() == pytest.approx(0.05 * 400, rel=0.05)
    np.testing.assert_array_equal(noisy, again)


def test_a_solution_that_has_not_converged_is_nan(monkeypatch):
    monkeypatch.setattr(imputation, "ITERATIONS", 1)
    kept = masks()["a corner"]
    result = np.asarray(jax.jit(lambda kept: impute(IMAGE, kept, KEY))(kept))
    assert np.isnan(result[~kept]).all()
    np.testing.assert_allclose(result[kept], IMAGE[kept], rtol=1e-6)


def value_of_image(image):
    return jnp.sum(image[..., 0] ** 2) - jnp.sum(image[..., 1])


@pytest.mark.parametrize("fractions", [(0.1, 0.5, 0.8), more((0.0, 1 / 3))])
def test_road_equals_loops(fractions, x64):
    heatmap = RNG.permutation(42).reshape(7, 6).astype(float)
    result = jax.jit(
        lambda heatmap: road(value_of_image, IMAGE, heatmap, KEY, fractions=fractions, noise=0.0, batch_size=2)
    )(heatmap)
    for order, values in ((-heatmap, result.most_first), (heatmap, result.least_first)):
        for fraction, value in zip(fractions, values, strict=True):
            kept = np.ones(42, bool)
            kept[np.argsort(order.ravel())[: int(np.floor(fraction * 42 + 0.5))]] = False
            image = dense_imputation(IMAGE, kept.reshape(7, 6))
            expected = (image[..., 0] ** 2).sum() - image[..., 1].sum()
            assert float(value) == pytest.approx(expected, abs=0.05)
    assert float(result.score) == pytest.approx(
        np.mean((np.asarray(result.least_first) - np.asarray(result.most_first)) / 2)
    )


@pytest.fixture(scope="module")
def spot():
    """An image with a bright spot, and the score of a heatmap for the target that is its mean."""
    image = jnp.zeros((8, 8, 1)).at[2:4, 5:7].set(1.0)
    return image, jax.jit(jax.vmap(lambda h: road(jnp.mean, image, h, KEY, fractions=[0.1, 0.3]).score))


def test_the_sign_of_the_score(spot):
    image, score = spot
    heatmap = image[:, :, 0]
    faithful, wrong, zeros, constant = score(jnp.stack([heatmap, -heatmap, 0 * heatmap, 0 * heatmap + 2])).tolist()
    assert faithful > 0.005
    assert wrong < -0.005
    assert zeros == constant == 0


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
