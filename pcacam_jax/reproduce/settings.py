"""What every set is run with, at every scale."""

from typing import Any, NamedTuple

from pcacam_jax.core.checks import check_choice
from pcacam_jax.fitting.config import FitConfig


class Scale(NamedTuple):
    """How much of the data is taken, and with which settings."""

    about: str
    limit_per_class: int | None
    """Most images of a class in either part."""
    sets: dict[str, dict[str, Any]]
    """For every set that it holds, what differs from :class:`FitConfig`'s defaults."""


SIZES: dict[str, dict[str, Any]] = {
    "mnist": {"size": 96},
    "fashion_mnist": {"size": 96},
    "blood_mnist": {"size": 96},
    "cifar10": {"size": 96},
    "chest_xray": {"size": 224},
    "dog_cat": {"size": 224},
}
"""Images of 28 and 32 pixels are enlarged to three times their size, photographs and radiographs keep VGG16's own."""

SCALES = {
    "embedded": Scale(
        "the sample of Fashion-MNIST that comes with the package",
        None,
        {"fashion_mnist": SIZES["fashion_mnist"]},
    ),
    "sample": Scale("at most 400 training and 400 test images of a class", 400, SIZES),
    "full": Scale("all images", None, {name: {**own, "storage": "float16"} for name, own in SIZES.items()}),
}


def check_scale(name: str) -> Scale:
    """Return the scale of this name; an unknown one is refused with the list of those there are."""
    return SCALES[check_choice("scale", name, SCALES)]


def settings_of(scale: str, name: str) -> FitConfig:
    """Return the configuration of a set at a scale that holds it."""
    return FitConfig(**SCALES[scale].sets[name])
