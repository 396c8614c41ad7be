"""The trainable head: maps (h, w, K), flattened, through dense layers to class scores (C,)."""

from collections.abc import Mapping, Sequence

import flax.linen as nn
import jax
from jaxtyping import Array, Float

from pcacam_jax.core.checks import InputError, check_choice
from pcacam_jax.stages.activation import ACTIVATIONS

# Activations near the identity at 0 keep variance under Glorot's scale; the others let about half of it through.
_GLOROT = ("identity", "sigmoid", "tanh")


class DenseHead(nn.Module):
    """Maps (*B, h, w, K) to scores (*B, C) by layers dense1 ... denseN, the last without activation.

    Attributes:
        sizes: the layers' widths, the number of classes last, for example ``(40, 30, 20, 10)``.
        activation: a name in ``pcacam_jax.stages.activation.ACTIVATIONS``.
    """

    sizes: Sequence[int]
    activation: str = "sigmoid"

    @nn.compact
    def __call__(self, maps: Float[Array, "*B h w K"]) -> Float[Array, "*B C"]:
        """Return the scores before any softmax.

        Raises:
            InputError: no layers, an unknown activation, or an input without the axes (h, w, K).
        """
        self._check(maps)
        activation = ACTIVATIONS[self.activation].function
        hidden_init = nn.initializers.glorot_uniform() if self.activation in _GLOROT else nn.initializers.he_normal()
        x = maps.reshape(*maps.shape[:-3], -1)
        for number, size in enumerate(self.sizes, start=1):
            last = number == len(self.sizes)
            x = nn.Dense(
                size,
                kernel_init=nn.initializers.glorot_uniform() if last else hidden_init,
                # The head is compared with its closed form, whose products keep all bits of float32.
                precision=jax.lax.Precision.HIGHEST,
                name=f"dense{number}",
            )(x)
            x = x if last else activation(x)
        return x

    def _check(self, maps) -> None:
        check_choice("activation", self.activation, ACTIVATIONS)
        if not self.sizes or min(self.sizes) < 1:
            raise InputError(f"sizes must list at least one positive width; got {tuple(self.sizes)}.")
        if maps.ndim not in (3, 4):
            raise InputError(f"the dense head reads maps of shape (h, w, K) or (B, h, w, K); got {maps.shape}.")


def layers(params: Mapping[str, Mapping[str, jax.Array]]) -> list[tuple[jax.Array, jax.Array]]:
    """Return [(kernel, bias), ...] of a :class:`DenseHead`, first to last, as ``hybrid_head`` takes them.

    Raises:
        InputError: the keys are not dense1 ... denseN.
    """
    names = [f"dense{number}" for number in range(1, len(params) + 1)]
    if not names or set(names) != set(params):
        raise InputError(
            "the head's parameters must be named dense1, dense2, ... without a gap; "
            f"got {', '.join(map(str, params)) or 'none'}."
        )
    return [(params[name]["kernel"], params[name]["bias"]) for name in names]
