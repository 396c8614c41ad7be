"""The metrics of heatmaps: the same numbers as pytorch-grad-cam, Captum and Quantus give."""

import importlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pcacam_jax import metrics

RNG = np.random.default_rng(0)
HEIGHT, WIDTH, CHANNELS = 10, 12, 3
IMAGE = RNG.random((HEIGHT, WIDTH, CHANNELS)).astype(np.float32)
WEIGHTS = RNG.normal(size=IMAGE.shape).astype(np.float32)
HEATMAP = ((IMAGE - 0.5) * WEIGHTS).sum(2).argsort(axis=None).argsort().reshape(HEIGHT, WIDTH).astype(np.float32)
CELLS = (4, 5)
EFFECTS = RNG.normal(size=CELLS)


@pytest.fixture(scope="module", autouse=True)
def float64():
    with jax.enable_x64(True):
        yield


@pytest.fixture(scope="module")
def road(grad_cam):
    return importlib.import_module("pytorch_grad_cam.metrics.road")


@pytest.fixture(scope="module")
def tensor(torch):
    """The image as a tensor, channels first."""
    return torch.from_numpy(IMAGE.transpose(2, 0, 1).copy())


uses_grad_cam = pytest.mark.filterwarnings("ignore:__array_wrap__:DeprecationWarning")
"""pytorch-grad-cam calls NumPy functions of PyTorch's tensors."""


@uses_grad_cam
@pytest.mark.parametrize("fraction", [0.1, 0.5, 0.9])
def test_imputation_equals_pytorch_grad_cams(road, tensor, torch, fraction):
    mask = np.float32(HEATMAP / HEATMAP.size >= fraction)
    expected = road.NoisyLinearImputer(noise=0.0)(tensor, torch.from_numpy(mask))
    result = jax.jit(lambda: metrics.impute(IMAGE, mask, jax.random.key(0), noise=0.0))()
    np.testing.assert_allclose(result, expected.numpy().transpose(1, 2, 0), atol=5e-5)


@uses_grad_cam
def test_road_equals_pytorch_grad_cams(road, tensor, torch, monkeypatch):
    class WithoutNoise(road.NoisyLinearImputer):
        def __init__(self):
            super().__init__(noise=0.0)

    monkeypatch.setattr(road, "NoisyLinearImputer", WithoutNoise)
    weights = torch.from_numpy(WEIGHTS.transpose(2, 0, 1).copy())

    def model(images):
        return torch.tanh((images * weights).sum((1, 2, 3)) / 20)[:, None]

    heatmap = HEATMAP / HEATMAP.size
    expected = road.ROADCombined()(tensor[None], heatmap[None], [lambda output: output[0]], model)
    result = jax.jit(
        lambda: metrics.road(
            lambda image: jnp.tanh(jnp.sum(image * WEIGHTS) / 20), IMAGE, heatmap, jax.random.key(0), noise=0.0
        )
    )()
    assert float(result.score) == pytest.approx(float(expected[0]), abs=1e-4)
    assert abs(float(result.score)) > 0.01


def curved(mask):
    """A target that is not linear in the mask, for arrays and tensors of any number of leading axes."""
    return ((mask * mask + mask) * EFFECTS).sum((-2, -1))


@pytest.mark.parametrize("scaled", [False, True])
def test_infidelity_equals_captums(captum, torch, scaled):
    masks = np.array(metrics.random_masks(jax.random.key(0), CELLS, samples=30, share=0.4))
    heatmap = RNG.normal(size=CELLS)
    effects = torch.from_numpy(EFFECTS)
    expected = captum.infidelity(
        lambda mask: ((mask * mask + mask) * effects).sum((-2, -1)),
        lambda inputs: (torch.from_numpy(1 - masks), torch.from_numpy(masks)),
        torch.ones(1, *CELLS, dtype=torch.float64),
        torch.from_numpy(heatmap)[None],
        n_perturb_samples=len(masks),
        normalize=scaled,
    )
    result = metrics.infidelity(curved, heatmap, masks, scaled=scaled)
    assert float(result) == pytest.approx(float(expected), rel=1e-12)


def test_max_sensitivity_equals_captums(captum, torch):
    noise = RNG.uniform(-0.1, 0.1, (20, *CELLS))
    inputs = RNG.normal(size=CELLS)

    def each(values):
        return values if isinstance(values, tuple) else (values,)  # Captum gives both

    expected = captum.sensitivity_max(
        lambda inputs: tuple(torch.sin(3 * values) * values for values in each(inputs)),
        torch.from_numpy(inputs)[None],
        lambda inputs, radius: tuple(values + torch.from_numpy(noise) for values in each(inputs)),
        n_perturb_samples=len(noise),
    )
    result = metrics.max_sensitivity(lambda n: jnp.sin(3 * (inputs + n)) * (inputs + n), noise)
    assert float(result) == pytest.approx(float(expected), rel=1e-12)


@pytest.fixture(scope="module")
def linear(torch):
    """A network with one output, the sum of the cells times their effects."""

    class Linear(torch.nn.Module):
        def forward(self, cells):
            return (cells * torch.from_numpy(EFFECTS)).sum((2, 3))

    return Linear().double().eval()


OPTIONS = {"disable_warnings": True, "display_progressbar": False, "normalise": False}


def test_the_deletion_curve_equals_pixel_flipping_of_quantus(quantus, linear):
    heatmap = RNG.normal(size=CELLS)
    metric = quantus.PixelFlipping(features_in_step=4, perturb_baseline=0.0, **OPTIONS)
    (expected,) = metric(
        model=linear,
        x_batch=np.ones((1, 1, *CELLS)),
        y_batch=np.zeros(1, int),
        a_batch=heatmap[None, None],
        channel_first=True,
        softmax=False,
    )
    curve = metrics.deletion_curve(lambda mask: jnp.sum(mask * EFFECTS), heatmap, steps=5)
    np.testing.assert_allclose(curve[1:], expected, atol=1e-12)


def test_sparseness_and_localisation_equal_those_of_quantus(quantus, linear):
    heatmaps, masks = RNG.random((6, *CELLS)), RNG.random((6, *CELLS)) > 0.5
    batch = {
        "model": linear,
        "x_batch": np.ones((6, 1, *CELLS)),
        "y_batch": np.zeros(6, int),
        "s_batch": masks[:, None],
        "channel_first": True,
    }
    for metric, name, tolerance in (
        (metrics.sparseness, "Sparseness", 1e-6),  # Quantus adds 1e-7 to all values
        (metrics.pointing_game, "PointingGame", 0),
        (metrics.mass_inside, "RelevanceMassAccuracy", 1e-12),
    ):
        expected = getattr(quantus, name)(abs=True, **OPTIONS)(a_batch=heatmaps[:, None].copy(), **batch)
        result = [
            float(metric(heatmap) if name == "Sparseness" else metric(heatmap, mask))
            for heatmap, mask in zip(heatmaps, masks, strict=True)
        ]
        np.testing.assert_allclose(result, np.asarray(expected, float).ravel(), atol=tolerance)
