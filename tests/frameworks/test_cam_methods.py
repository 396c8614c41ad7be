"""The CAM methods against pytorch-grad-cam and TorchCAM for the same linear target on a network with curvature.

Their known deviations: pytorch-grad-cam adds 1e-6 to the denominator of Grad-CAM++ and 1e-7 to that of XGrad-CAM,
divides the drops of Ablation-CAM by the score, computes them in float32, and centres the maps of Eigen-CAM and
EigenGrad-CAM. TorchCAM normalises its maps to 0..1 after a ReLU, and its Grad-CAM++ loses alpha.
"""

import jax
import numpy as np
import pytest
from sklearn.decomposition import PCA

from pcacam_jax import explain, hybrid_head
from pcacam_jax.head.layouts import dense_from_torch, maps_from_torch

IMAGES = 5


@pytest.fixture(scope="module", autouse=True)
def float64():
    with jax.enable_x64(True):
        yield


class Case:
    """A small network with tanh, the head behind its convolutions, and a component as a linear target."""

    def __init__(self, torch):
        nn = torch.nn
        torch.manual_seed(0)
        self.features = nn.Sequential(nn.Conv2d(3, 6, 3, stride=2), nn.ReLU()).double()
        self.hidden = nn.Sequential(nn.AdaptiveAvgPool2d((5, 5)), nn.Flatten(), nn.Linear(150, 8), nn.Tanh()).double()
        self.last = nn.Linear(8, 3).double()
        self.images = torch.randn(IMAGES, 3, 11, 11, dtype=torch.float64)
        self.net = nn.Sequential(self.features, self.hidden).eval()
        with torch.no_grad():
            taken = self.features(self.images)
            x_m = self.hidden(self.features(torch.randn(60, 3, 11, 11, dtype=torch.float64))).numpy()
        self.maps, self.pca = maps_from_torch(taken), PCA(2).fit(x_m)
        layers = dense_from_torch([self.hidden[2], self.last], maps_shape=self.maps.shape[1:])
        self.head = hybrid_head(layers, maps_shape=self.maps.shape[1:], pca=self.pca, at=1, activation="tanh")
        self.weights, self.mean = torch.tensor(self.pca.components_[1]), torch.tensor(self.pca.mean_)

    def target(self, sign):
        return lambda x: sign * (self.weights @ (x - self.mean))

    def ours(self, method):
        return explain(self.head, self.maps, "pca:1", method=method)


@pytest.fixture(scope="module")
def case(torch):
    return Case(torch)


def raw_maps(cam_class, case, sign):
    """The maps of pytorch-grad-cam before it cuts off the negative part and scales them to 0..1."""
    found = []

    class Raw(cam_class):
        def get_cam_image(self, *args, **kwargs):
            found.append(super().get_cam_image(*args, **kwargs))
            return found[-1]

    with Raw(case.net, [case.features[-1]]) as cam:
        cam(case.images, [case.target(sign)] * IMAGES)
    return np.asarray(found[0], np.float64)


def relative(a, b):
    return np.linalg.norm(a - b) / np.linalg.norm(b)


NAMES = {
    "hirescam": ("HiResCAM", 1e-12),
    "layercam": ("LayerCAM", 1e-12),
    "xgradcam": ("XGradCAM", 1e-6),
    "gradcam++": ("GradCAMPlusPlus", 1e-2),
    "shapleycam": ("ShapleyCAM", 1e-10),
    "gradcam": ("GradCAM", 1e-12),
}


@pytest.mark.parametrize("method", NAMES)
def test_maps_of_both_signs_equal_those_of_pytorch_grad_cam(grad_cam, case, method):
    name, tolerance = NAMES[method]
    result = case.ours(method)
    for part, sign in ((result.positive, 1), (result.negative, -1)):
        expected = np.maximum(raw_maps(getattr(grad_cam, name), case, sign), 0)
        assert relative(np.asarray(part[:, 0]), expected) < tolerance


def test_the_deviation_of_grad_cam_plus_plus_is_its_constant(grad_cam, case):
    """With 1e-6 in the denominator, the formula of pytorch-grad-cam is met to rounding."""
    gradient = jax.vmap(jax.grad(lambda m: case.head(m)["pca"][1]))(case.maps)
    g, sums = np.asarray(gradient), case.maps.sum(axis=(1, 2), keepdims=True)
    alpha = np.where(g != 0, g**2 / (2 * g**2 + sums * g**3 + 1e-6), 0)
    weights = (np.maximum(g, 0) * alpha).sum(axis=(1, 2))
    maps = np.einsum("bk,bijk->bij", weights, case.maps)
    assert relative(maps, raw_maps(grad_cam.GradCAMPlusPlus, case, 1)) < 1e-12


def test_drops_equal_those_of_pytorch_grad_cam_times_the_score(grad_cam, case):
    result = case.ours("ablationcam")
    expected = raw_maps(grad_cam.AblationCAM, case, 1) * np.asarray(result.values)[:, :, None]
    assert relative(np.asarray(result.signed[:, 0]), expected) < 1e-5


def test_projections_equal_those_of_pytorch_grad_cam_for_centred_maps(grad_cam, case):
    """Its centred projection is that of maps without their mean, up to a sign and float32."""
    for name, products in (
        ("EigenCAM", case.maps),
        ("EigenGradCAM", np.asarray(jax.vmap(jax.grad(lambda m: case.head(m)["pca"][1]))(case.maps)) * case.maps),
    ):
        expected = raw_maps(getattr(grad_cam, name), case, 1)
        for b in range(IMAGES):
            matrix = products[b].reshape(-1, 6)
            projected = (matrix - matrix.mean(axis=0)) @ np.linalg.svd(matrix - matrix.mean(axis=0))[2][0]
            found = projected.reshape(5, 5)
            assert min(relative(found, expected[b]), relative(-found, expected[b])) < 1e-5


def scaled_maps_of_torchcam(torch, case, name):
    torchcam = pytest.importorskip("torchcam.methods", reason='not installed: pip install "pcacam_jax[frameworks]"')
    linear = torch.nn.Linear(8, 1).double()
    with torch.no_grad():
        linear.weight[:] = case.weights[None]
        linear.bias[:] = -(case.weights @ case.mean)
    net = torch.nn.Sequential(case.features, case.hidden, linear).eval()
    with getattr(torchcam, name)(net, target_layer=case.features[-1]) as extractor:
        return extractor([0] * IMAGES, net(case.images))[0].detach().numpy()


def scaled(maps):
    lowest, highest = maps.min(axis=(1, 2), keepdims=True), maps.max(axis=(1, 2), keepdims=True)
    return (maps - lowest) / (highest - lowest)


@pytest.mark.parametrize(
    ("method", "name"), [("gradcam", "GradCAM"), ("layercam", "LayerCAM"), ("xgradcam", "XGradCAM")]
)
def test_positive_maps_equal_those_of_torchcam_after_its_scaling(torch, case, method, name):
    ours = np.asarray(case.ours(method).positive[:, 0])
    assert relative(scaled_maps_of_torchcam(torch, case, name), scaled(ours)) < 1e-6


def test_the_deviation_of_torchcam_in_grad_cam_plus_plus_is_a_division_that_is_lost(torch, case):
    """It divides a copy of ``g^2`` by the denominator, so that alpha stays ``g^2``."""
    g = np.asarray(jax.vmap(jax.grad(lambda m: case.head(m)["pca"][1]))(case.maps))
    weights = (np.maximum(g, 0) * g**2).sum(axis=(1, 2))
    maps = np.maximum(np.einsum("bk,bijk->bij", weights, case.maps), 0)
    theirs = scaled_maps_of_torchcam(torch, case, "GradCAMpp")
    assert relative(theirs, scaled(maps)) < 1e-5, "TorchCAM adds 1e-8 to its divisors"
    assert relative(theirs, scaled(np.asarray(case.ours("gradcam++").positive[:, 0]))) > 1e-3
