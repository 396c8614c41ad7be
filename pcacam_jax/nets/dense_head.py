"""The trainable dense head: flattened feature maps ``(h, w, K)`` to class scores ``(C,)``."""

from collections.abc import Mapping, Sequence

import flax.linen as nn
import jax
from jaxtyping import Array, Float

from pcacam_jax.core.checks import InputError
from pcacam_jax.stages.activation import activation_named, check_activation

# Glorot's scale preserves the variance for activations that are close to linear at 0. The other activations pass about
# half of it, which He's scale compensates.
_GLOROT = ("identity", "linear", "sigmoid", "tanh", "softsign")


class DenseHead(nn.Module):
    """Dense layers from maps ``(h, w, K)`` to class scores ``(C,)``, with or without a batch axis in front.

    The layers are named dense1, ..., denseN. The last layer has no activation.

    Attributes:
        sizes: the widths of the layers; the last one is the number of classes, for example ``(40, 30, 20, 10)``.
        activation: the activation of all other layers, a name as in ``pcacam_jax.Elementwise``.

    Example:
        >>> import jax
        >>> import jax.numpy as jnp
        >>> from pcacam_jax.nets.dense_head import DenseHead, layers
        >>> variables = DenseHead(sizes=(8, 3)).init(jax.random.key(0), jnp.zeros((2, 2, 4)))
        >>> [kernel.shape for kernel, bias in layers(variables["params"])]
        [(16, 8), (8, 3)]
    """

    sizes: Sequence[int]
    activation: str = "sigmoid"

    @nn.compact
    def __call__(self, maps: Float[Array, "*B h w K"]) -> Float[Array, "*B C"]:
        """Return the class scores (logits).

        Raises:
            InputError: if there are no layers, the activation is unknown, or the maps lack an axis of ``(h, w, K)``.
        """
        self._check(maps)
        activation = activation_named(self.activation).function
        hidden_init = nn.initializers.glorot_uniform() if self.activation in _GLOROT else nn.initializers.he_normal()
        x = maps.reshape(*maps.shape[:-3], -1)
        for number, size in enumerate(self.sizes, start=1):
            last = number == len(self.sizes)
            x = nn.Dense(
                size,
                kernel_init=nn.initializers.glorot_uniform() if last else hidden_init,
                # The closed form of the head multiplies in full float32, and the two are compared.
                precision=jax.lax.Precision.HIGHEST,
                name=f"dense{number}",
            )(x)
            x = x if last else activation(x)
        return x

    def _check(self, maps) -> None:
        check_activation(self.activation)
        if not self.sizes or min(self.sizes) < 1:
            raise InputError(f"sizes must hold positive widths, at least one; got {tuple(self.sizes)}.")
        if maps.ndim not in (3, 4):
            raise InputError(f"maps must have shape (h, w, K) or (B, h, w, K) for the dense head; got {maps.shape}.")


def layers(params: Mapping[str, Mapping[str, jax.Array]]) -> list[tuple[jax.Array, jax.Array]]:
    """Return the layers of a ``DenseHead`` as pairs ``(kernel, bias)``, in the form that ``hybrid_head`` accepts.

    Args:
        params: the parameters of the head, ``{"dense1": {"kernel": (in, out), "bias": (out,)}, ...}``.

    Returns:
        One pair per layer, from the first layer to the last.

    Raises:
        InputError: if the keys are not dense1, ..., denseN.
    """
    names = [f"dense{number}" for number in range(1, len(params) + 1)]
    if not names or set(names) != set(params):
        raise InputError(
            "the head's parameters must be named dense1, dense2, ... without a gap; "
            f"got {', '.join(map(str, params)) or 'none'}."
        )
    return [(params[name]["kernel"], params[name]["bias"]) for name in names]
