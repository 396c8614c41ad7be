import dataclasses
import inspect
import re

import pytest

from pcacam_jax.core.checks import InputError
from pcacam_jax.fitting import config as module
from pcacam_jax.fitting.config import FitConfig
from pcacam_jax.stages import ACTIVATIONS


def test_the_defaults_are_the_papers_sizes():
    config = FitConfig()
    assert (config.size, config.hidden, config.at, config.components) == (224, (40, 30, 20), 2, 3)
    assert (config.cost, config.gamma, config.batch_size, config.validation_fraction) == (1, 1, 32, 0.2)


def test_a_configuration_is_restored_from_plain_data():
    config = FitConfig(hidden=(5, 4), tap="block5_conv3", seed=7)
    data = dataclasses.asdict(config) | {"hidden": [5, 4]}
    assert FitConfig(**data) == config


@pytest.mark.parametrize(("tap", "pool"), [("block5_pool", False), ("block5_conv3", True)])
def test_the_head_begins_with_a_pool_if_the_tap_precedes_the_pool(tap, pool):
    assert FitConfig(tap=tap).pool is pool


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"size": 31}, "size must be at least 32"),
        ({"size": 64.0}, "size must be a whole number"),
        ({"tap": "block4_pool"}, "tap must be one of block5_pool, block5_conv3"),
        ({"scaling": "torch"}, "scaling must be one of"),
        ({"compute": "float16"}, "compute must be one of"),
        ({"activation": "swich"}, "activation must be one of"),
        ({"activation": "log"}, "activation must be one of"),
        ({"feature_scale": "max"}, "feature_scale must be one of"),
        ({"hidden": ()}, "hidden must contain at least one width"),
        ({"hidden": None}, r"hidden must be a list of widths, such as \(40, 30, 20\); got None"),
        ({"hidden": 40}, "hidden must be a list of widths"),
        ({"hidden": (40, 0)}, "hidden must contain at least one width, each at least 1"),
        ({"hidden": (40, 2.5)}, "hidden must be a whole number"),
        ({"at": 4}, "at must be the number of a hidden layer, 1 to 3"),
        ({"at": 0}, "at must be the number of a hidden layer"),
        ({"components": 31}, "1 to 30, the width of layer 2"),
        ({"components": 0}, "components must lie in"),
        ({"validation_fraction": 1.0}, "validation_fraction must lie between"),
        ({"validation_fraction": float("nan")}, "validation_fraction must lie between"),
        ({"epochs": 0}, "epochs must be positive"),
        ({"epochs": -3}, "epochs must be positive"),
        ({"epochs": True}, "epochs must be a whole number"),
        ({"learning_rate": float("nan")}, "learning_rate must be positive and finite; got nan"),
        ({"learning_rate": float("inf")}, "learning_rate must be positive and finite"),
        ({"batch_size": 0}, "batch_size must be positive"),
        ({"learning_rate": "x"}, "learning_rate must be a number; got 'x'"),
        ({"gamma": "large"}, "gamma must be a number, scale or auto; got 'large'"),
        ({"gamma": True}, "gamma must be a number; got True"),
        ({"balance": 1}, "balance must be True or False; got 1"),
        ({"cost": None}, "cost must be a number; got None"),
        ({"validation_fraction": "half"}, "validation_fraction must be a number"),
        ({"cost": 0.0}, "cost must be positive"),
        ({"gamma": -1.0}, "gamma must be positive"),
        ({"seed": -1}, "seed must lie in"),
        ({"seed": 2**32}, "seed must lie in"),
    ],
)
def test_invalid_values_are_rejected(change, sentence):
    with pytest.raises(InputError, match=sentence):
        FitConfig(**change)


@pytest.mark.parametrize("gamma", ["scale", "auto", 2, 0.5])
def test_gamma_is_a_number_or_a_rule(gamma):
    assert FitConfig(gamma=gamma).gamma == gamma


def test_every_activation_is_documented():
    documented = re.search(r"Activation of the dense layers: ([a-z0-9_,\s]+)\.", inspect.getsource(module)).group(1)
    assert re.split(r",\s+|\sor\s", documented) == [name for name in ACTIVATIONS if name != "log"]


@pytest.mark.parametrize("name", ["leaky_relu:0.2", "elu:0.5", "swish"])
def test_activations_with_a_number_and_aliases_are_accepted(name):
    assert FitConfig(activation=name).activation == name
