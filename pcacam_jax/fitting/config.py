"""The configuration of a run."""

import dataclasses
import math
from typing import Any

from pcacam_jax.core.checks import SMALLEST_SIZE, InputError, check_choice
from pcacam_jax.stages import ACTIVATIONS

CHOICES = {
    "tap": ("block5_pool", "block5_conv3"),
    "scaling": ("caffe", "unit"),
    "compute": ("float32", "bfloat16"),
    "storage": ("float32", "float16"),
    "activation": tuple(name for name in ACTIVATIONS if name != "log"),  # a dense layer gives negative numbers too
    "feature_scale": ("rms", "none"),
}
"""The fields that are names, with the names that they may be."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class FitConfig:
    """What a run is made with; the sizes are the paper's, Section 6.1."""

    size: int = 224
    """Side in pixels to which every image is resized, at least 32."""
    tap: str = "block5_pool"
    """Layer of VGG16 where the maps are explained: block5_pool, or block5_conv3 for maps twice as fine."""
    scaling: str = "caffe"
    """Preprocessing: caffe, as the ImageNet weights were trained, or unit (x / 255)."""
    compute: str = "float32"
    """Dtype in which VGG16 computes: float32 or bfloat16."""
    storage: str = "float32"
    """Dtype in which feature maps are cached: float32, or float16 for half the space at three significant digits."""
    weights: str | None = None
    """File with VGG16's weights; found by itself if left out."""
    hidden: tuple[int, ...] = (40, 30, 20)
    """Widths of the dense layers before the last, which has one output a class."""
    at: int = 2
    """The dense layer whose output feeds the PCA, the paper's m."""
    activation: str = "sigmoid"
    """Activation of the dense layers: identity, sigmoid, relu, tanh, softplus, gelu, cosine, exp or log_sigmoid."""
    feature_scale: str = "rms"
    """What features are divided by while the head trains, folded into its first kernel afterwards: rms (their root
    mean square, so that a sigmoid does not start saturated) or none."""
    epochs: int = 300
    """Epochs to train; the best by validation accuracy is kept."""
    learning_rate: float = 3e-2
    """Learning rate of plain SGD."""
    batch_size: int = 32
    """Images in a training batch."""
    validation_fraction: float = 0.2
    """Share of the training images that chooses the epoch."""
    components: int = 3
    """Principal components, the paper's D."""
    cost: float = 1.0
    """The SVMs' C."""
    gamma: float = 1.0
    """The RBF kernel's gamma."""
    seed: int = 0
    """Seed of initial weights, batches and the validation split."""

    def __post_init__(self):
        """Refuse values that no run can have."""
        if not isinstance(self.hidden, list | tuple):
            raise InputError(f"hidden must be a list of widths, such as (40, 30, 20); got {self.hidden!r}.")
        object.__setattr__(self, "hidden", tuple(self.hidden))
        for name, choices in CHOICES.items():
            check_choice(name, getattr(self, name), choices)
        for name in ("size", "at", "epochs", "batch_size", "components", "seed"):
            _check_whole(name, getattr(self, name))
        for name in ("learning_rate", "validation_fraction", "cost", "gamma"):
            _check_number(name, getattr(self, name))
        for name in ("epochs", "batch_size", "learning_rate", "cost", "gamma"):
            if not 0 < getattr(self, name) < math.inf:
                raise InputError(f"{name} must be positive and finite; got {getattr(self, name)}.")
        if self.size < SMALLEST_SIZE:
            raise InputError(f"size must be at least {SMALLEST_SIZE} pixels for VGG16; got {self.size}.")
        if not 0 < self.validation_fraction < 1:
            raise InputError(f"validation_fraction must lie between 0 and 1; got {self.validation_fraction}.")
        if not 0 <= self.seed < 2**32:
            raise InputError(f"seed must lie in 0 to 2^32 - 1; got {self.seed}.")
        self._check_widths()

    def _check_widths(self) -> None:
        for width in self.hidden:
            _check_whole("hidden", width)
        if not self.hidden or min(self.hidden) < 1:
            raise InputError(f"hidden must be widths of at least 1; got {self.hidden}.")
        if not 1 <= self.at <= len(self.hidden):
            raise InputError(f"at must be a hidden layer, 1 to {len(self.hidden)}; got {self.at}.")
        width = self.hidden[self.at - 1]
        if not 1 <= self.components <= width:
            raise InputError(
                f"components must lie in 1 to {width}, the width of layer {self.at}; got {self.components}."
            )

    @property
    def pool(self) -> bool:
        """Whether the head begins with VGG16's last max-pool."""
        return self.tap == "block5_conv3"


def _check_whole(name: str, value: Any) -> None:
    if not isinstance(value, int) or isinstance(value, bool):
        raise InputError(f"{name} must be a whole number; got {value!r}.")


def _check_number(name: str, value: Any) -> None:
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise InputError(f"{name} must be a number; got {value!r}.")
