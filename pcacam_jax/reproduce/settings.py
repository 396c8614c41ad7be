"""The settings of every dataset at every scale."""

from typing import Any, NamedTuple

from pcacam_jax.core.checks import check_choice
from pcacam_jax.fitting.config import FitConfig


class Scale(NamedTuple):
    """How much of the data is used, and the settings of each dataset."""

    about: str
    limit_per_class: int | None
    """Maximum number of images per class in each split; None for all images."""
    sets: dict[str, dict[str, Any]]
    """The datasets of this scale, each with the settings that differ from the defaults of :class:`FitConfig`."""


SIZES: dict[str, dict[str, Any]] = {
    "mnist": {"size": 96},
    "fashion_mnist": {"size": 96},
    "blood_mnist": {"size": 96},
    "cifar10": {"size": 96},
    "chest_xray": {"size": 224},
    "dog_cat": {"size": 224},
}
"""Images of 28 and 32 pixels are enlarged about three times; photographs and radiographs get VGG16's 224 pixels."""

SCALES = {
    "embedded": Scale(
        "the sample of Fashion-MNIST that is included in the package",
        None,
        {"fashion_mnist": SIZES["fashion_mnist"]},
    ),
    "sample": Scale("at most 400 training and 400 test images per class", 400, SIZES),
    "full": Scale("all images", None, {name: {**size, "storage": "float16"} for name, size in SIZES.items()}),
}


def check_scale(name: str) -> Scale:
    """Return the scale with this name; raise an InputError that lists the known scales if it is unknown."""
    return SCALES[check_choice("scale", name, SCALES)]


def settings_of(scale: str, name: str) -> FitConfig:
    """Return the configuration of a dataset at a scale that includes it."""
    return FitConfig(**SCALES[scale].sets[name])
