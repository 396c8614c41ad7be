"""PyTorch networks as heads: the same outputs, and the same maps as pytorch-grad-cam's for the same linear target."""

import jax
import numpy as np
import pytest
from sklearn.decomposition import PCA
from sklearn.svm import SVC

from pcacam_jax import InputError, explain, hybrid_head
from pcacam_jax.head.check_outputs import check_outputs
from pcacam_jax.head.layouts import (
    as_numpy,
    batch_norm_of,
    dense_from_torch,
    fold_batch_norm,
    fold_batch_norm_before,
    maps_from_torch,
)

IMAGES, SIZE, CLASSES = 40, 12, 3


@pytest.fixture(scope="module", autouse=True)
def float64():
    with jax.enable_x64(True):
        yield


@pytest.fixture(scope="module")
def images(torch):
    torch.manual_seed(0)
    return torch.randn(IMAGES, 3, SIZE, SIZE, dtype=torch.float64)


@pytest.fixture(scope="module")
def net(torch, images):
    """A small network as torchvision builds them: features, avgpool, classifier with dropout."""
    nn = torch.nn
    torch.manual_seed(1)

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.features = nn.Sequential(nn.Conv2d(3, 5, 3, stride=2), nn.ReLU(), nn.Conv2d(5, 6, 2), nn.ReLU())
            self.avgpool = nn.AdaptiveAvgPool2d((4, 4))
            self.classifier = nn.Sequential(
                nn.Linear(6 * 4 * 4, 8), nn.ReLU(), nn.Dropout(), nn.Linear(8, 7), nn.ReLU(), nn.Linear(7, CLASSES)
            )

        def forward(self, x):
            return self.classifier(torch.flatten(self.avgpool(self.features(x)), 1))

    return Net().double().eval()


@pytest.fixture(scope="module")
def taken(net, images, torch):
    """What the network gives: maps, the second layer's output, logits."""
    with torch.no_grad():
        maps = net.features(images)
        hidden = net.classifier[:5](maps.flatten(1))
    return {"maps": maps, "x": as_numpy("x", hidden), "logits": net(images)}


@pytest.fixture(scope="module")
def fitted(taken):
    labels = np.arange(IMAGES) % CLASSES
    pca = PCA(3).fit(taken["x"])
    return pca, SVC(kernel="linear").fit(pca.transform(taken["x"])[labels < 2], labels[labels < 2])


@pytest.fixture(scope="module")
def head(net, taken, fitted, torch):
    maps = maps_from_torch(taken["maps"])
    linear = [layer for layer in net.classifier if isinstance(layer, torch.nn.Linear)]
    dense = dense_from_torch(linear, maps_shape=maps.shape[1:])
    return hybrid_head(dense, maps_shape=maps.shape[1:], pca=fitted[0], svms={"svm": fitted[1]}, at=2)


def test_the_head_is_the_network(head, taken, fitted):
    pca, svm = fitted
    v = pca.transform(taken["x"])
    g = svm.decision_function(v)
    expected = {"cnn": taken["logits"], "pca": v, "svm": np.stack([-g, g], axis=1)}
    errors = check_outputs(head, maps_from_torch(taken["maps"]), expected)
    assert max(errors.values()) < 1e-12


def test_weights_in_pytorch_order_are_recognised(net, taken, torch):
    linear = [layer for layer in net.classifier if isinstance(layer, torch.nn.Linear)]
    dense = dense_from_torch(linear)
    head = hybrid_head(dense, maps_shape=(4, 4, 6), at=2)
    with pytest.raises(InputError, match="expects maps flattened channel by channel: build the head with flattened="):
        check_outputs(head, maps_from_torch(taken["maps"]), {"cnn": taken["logits"]})


def signed_maps(grad_cam, net, layer, images, target):
    """The maps of pytorch-grad-cam before it cuts off the negative part and scales them to 0..1."""
    found = []

    class Raw(grad_cam.GradCAM):
        def get_cam_image(self, *args, **kwargs):
            found.append(super().get_cam_image(*args, **kwargs))
            return found[-1]

    with Raw(net, [layer]) as cam:
        drawn = cam(images, [target] * len(images))
    return found[0], drawn


def relative(found, wanted):
    return np.abs(found - wanted).max() / np.abs(wanted).max()


@pytest.fixture(scope="module")
def hidden_net(net, torch):
    """The network up to the layer that the PCA reads: its output is what a target of pytorch-grad-cam is given."""

    class Hidden(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.net = net

        def forward(self, x):
            return self.net.classifier[:5](torch.flatten(self.net.avgpool(self.net.features(x)), 1))

    return Hidden().eval()


@pytest.mark.parametrize("target", ["pca:0", "pca:1", "pca:2", "svm:0", "svm:1"])
def test_maps_of_components_and_decisions_equal_those_of_pytorch_grad_cam(
    grad_cam, hidden_net, images, taken, fitted, head, target, torch
):
    pca, svm = fitted
    name, entry = target.split(":")
    if name == "pca":
        direction, constant = pca.components_[int(entry)], 0.0
    else:
        sign = 1 if entry == "1" else -1
        direction, constant = sign * (svm.coef_[0] @ pca.components_), sign * svm.intercept_[0]
    weights, mean = torch.tensor(direction), torch.tensor(pca.mean_)

    def linear_target(x):
        return weights @ (x - mean) + constant

    wanted, drawn = signed_maps(grad_cam, hidden_net, hidden_net.net.features[-1], images[:8], linear_target)
    found = explain(head, maps_from_torch(taken["maps"])[:8], target, method="gradcam")
    assert wanted.dtype == np.float64
    assert relative(np.asarray(found.signed[:, 0]), wanted) <= 1e-12
    with torch.no_grad():
        values = [float(linear_target(x)) for x in hidden_net(images[:8])]
    np.testing.assert_allclose(found.values[:, 0], values, rtol=1e-9, atol=1e-12)
    assert drawn.shape == (8, SIZE, SIZE)


def test_maps_of_logits_equal_those_of_pytorch_grad_cam(grad_cam, net, images, taken, head):
    for target in range(CLASSES):
        output_target = grad_cam.utils.model_targets.ClassifierOutputTarget(target)
        wanted, _ = signed_maps(grad_cam, net, net.features[-1], images[:8], output_target)
        found = explain(head, maps_from_torch(taken["maps"])[:8], f"cnn:{target}", method="gradcam")
        assert relative(np.asarray(found.signed[:, 0]), wanted) <= 1e-12


def test_batch_norms_of_pytorch_are_folded_in(torch, taken):
    """BatchNorm2d on the maps, then flatten, Linear, BatchNorm1d, ReLU, BatchNorm1d, Linear."""
    nn = torch.nn
    torch.manual_seed(2)
    norms = nn.BatchNorm2d(6), nn.BatchNorm1d(8), nn.BatchNorm1d(8, affine=False)
    first, last = nn.Linear(96, 8, bias=False), nn.Linear(8, CLASSES)
    net = nn.Sequential(norms[0], nn.Flatten(), first, norms[1], nn.ReLU(), norms[2], last).double()
    with torch.no_grad():
        for _ in range(3):
            net(taken["maps"] + torch.rand_like(taken["maps"]))  # running means and variances
        norms[1].weight.uniform_(0.5, 2)
        norms[1].bias.uniform_(-1, 1)
        expected = net.eval()(taken["maps"])
    maps = maps_from_torch(taken["maps"])
    ((kernel, bias),) = dense_from_torch([first], maps_shape=maps.shape[1:])
    ((last_kernel, last_bias),) = dense_from_torch([last])
    layers = [
        fold_batch_norm(
            *fold_batch_norm_before(kernel, bias, batch_norm_of(norms[0]), positions=16), batch_norm_of(norms[1])
        ),
        fold_batch_norm_before(last_kernel, last_bias, batch_norm_of(norms[2])),
    ]
    head = hybrid_head(layers, maps_shape=maps.shape[1:], at=1)
    assert check_outputs(head, maps, {"cnn": expected})["cnn"] < 1e-12


def test_a_pooled_head_equals_torchvision(torch, taken):
    """The maps before the last 2 x 2 max-pool, as in VGG: the layer's order is that of the pooled maps."""
    nn = torch.nn
    torch.manual_seed(3)
    net = nn.Sequential(nn.MaxPool2d(2), nn.Flatten(), nn.Linear(24, 8), nn.ReLU(), nn.Linear(8, CLASSES)).double()
    dense = dense_from_torch([net[2], net[4]], maps_shape=(2, 2, 6))
    head = hybrid_head(dense, maps_shape=(4, 4, 6), at=1, pool=True)
    assert check_outputs(head, maps_from_torch(taken["maps"]), {"cnn": net(taken["maps"])})["cnn"] < 1e-12


def test_a_globally_averaged_head_is_equal_to_a_residual_network(torch, taken):
    nn = torch.nn
    torch.manual_seed(4)
    net = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, CLASSES)).double()
    head = hybrid_head(dense_from_torch([net[2]]), maps_shape=(4, 4, 6), at=1, pool="average")
    assert check_outputs(head, maps_from_torch(taken["maps"]), {"cnn": net(taken["maps"])})["cnn"] < 1e-12


def test_half_precision_tensors_are_read(torch):
    assert as_numpy("a", torch.ones(2, dtype=torch.bfloat16, requires_grad=True)).dtype == np.float32
    with pytest.raises(InputError, match="must be finite"):
        as_numpy("a", torch.tensor([float("nan")]))


def test_other_modules_among_the_layers_are_rejected(torch, net):
    with pytest.raises(InputError, match=r"dense layer 2 must have a weight, .* got ReLU; pass the linear layers only"):
        dense_from_torch(net.classifier)
    with pytest.raises(InputError, match=r"dense layer 1 must have two axes; got \(6, 5, 2, 2\)"):
        dense_from_torch([net.features[2]])
