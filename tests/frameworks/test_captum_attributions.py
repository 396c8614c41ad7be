"""DeepLIFT contributions and relevance equal Captum's for the same network."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pcacam_jax import hybrid_head
from pcacam_jax.cam.lift import lift_contributions
from pcacam_jax.cam.relevance import relevance
from pcacam_jax.core.numerics import relative_error
from pcacam_jax.head.layouts import dense_from_torch
from pcacam_jax.head.targets import Selection

# Captum warns about its hooks and about gradients that it sets.
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")
SHAPE, CLASSES = (4, 6, 3), 3


@pytest.fixture(autouse=True)
def _in_float64(x64):
    return x64


@pytest.fixture
def attributions(captum):
    """The attribution methods of Captum."""
    return pytest.importorskip("captum.attr")


def network(torch, activation, pool):
    """A network on maps (B, K, h, w), its linear layers, and maps of one example."""
    nn = torch.nn
    torch.manual_seed(5)
    size = 2 * 3 * 3 if pool else 4 * 6 * 3
    linear = [nn.Linear(before, after) for before, after in itertools.pairwise((size, 9, 8, CLASSES))]
    hidden = itertools.chain.from_iterable((layer, getattr(nn, activation)()) for layer in linear[:-1])
    net = nn.Sequential(*([nn.MaxPool2d(2)] if pool else []), nn.Flatten(), *hidden, linear[-1]).double().eval()
    return net, linear, torch.rand(1, 3, 4, 6, dtype=torch.float64)


def head_of(linear, activation, pool):
    read = (2, 3, 3) if pool else SHAPE
    return hybrid_head(dense_from_torch(linear, maps_shape=read), maps_shape=SHAPE, activation=activation, pool=pool)


def every_class():
    return Selection(jnp.arange(CLASSES), ("cnn",) * CLASSES)


def as_maps(attribution):
    return attribution.detach().numpy()[0].transpose(1, 2, 0)


@pytest.mark.parametrize("pool", [False, True])
@pytest.mark.parametrize("activation", ["ReLU", "Tanh", "Sigmoid"])
def test_contributions_equal_deep_lift(torch, attributions, activation, pool):
    net, linear, maps = network(torch, activation, pool)
    head = head_of(linear, activation.lower(), pool)
    result = jax.jit(lift_contributions)(head, jnp.asarray(as_maps(maps)), every_class())
    deep_lift = attributions.DeepLift(net)
    for label in range(CLASSES):
        expected = deep_lift.attribute(maps, baselines=torch.zeros_like(maps), target=label)
        assert relative_error(result[label], as_maps(expected)) < 1e-10


def test_relevance_equals_the_alpha_1_beta_0_rule(torch, attributions, monkeypatch):
    rules = pytest.importorskip("captum.attr._utils.lrp_rules")
    # what Captum adds to every sum that it divides by, 1e-9 otherwise
    monkeypatch.setattr(rules.PropagationRule, "STABILITY_FACTOR", 1e-15)
    net, linear, maps = network(torch, "ReLU", pool=False)
    vector = maps.flatten(1)  # Captum's LRP has no rule for a flattening
    lrp, logits = attributions.LRP(net[1:]), net(maps)[0]

    def of_class(label):
        for layer in linear:  # Captum removes the rules after each call
            layer.rule = rules.Alpha1_Beta0_Rule(set_bias_to_zero=True)
        return as_maps((lrp.attribute(vector, target=label) / logits[label]).reshape(maps.shape))

    # Captum starts at the logit; the contrastive start is a combination of starts at 1.
    each = [of_class(label) for label in range(CLASSES)]
    result = jax.jit(relevance)(head_of(linear, "relu", False), jnp.asarray(as_maps(maps)), every_class())
    for label in range(CLASSES):
        others = np.mean([each[other] for other in range(CLASSES) if other != label], axis=0)
        assert np.any(each[label])
        assert relative_error(result[label], each[label] - others) < 1e-9
