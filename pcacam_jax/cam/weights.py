"""The methods whose weights come from a propagation through all stages: LIFT-CAM and Relevance-CAM."""

import jax.numpy as jnp

from pcacam_jax.cam.example import Example
from pcacam_jax.cam.gradcam import weighted
from pcacam_jax.cam.lift import lift_weights
from pcacam_jax.cam.method import Result
from pcacam_jax.cam.relevance import relevance


def lift_cam(example: Example, sign: int) -> Result:
    """Return ``L = sum_k a_k A_k`` with DeepLIFT's contribution of map k as ``a_k`` (Jung and Oh 2021)."""
    return weighted(sign * lift_weights(example.head, example.maps, example.selection), example.maps)


def relevance_cam(example: Example, sign: int) -> Result:
    """Return ``L = sum_k a_k A_k`` with ``a_k = mean_ij R_ijk``, the relevance of a cell (Lee et al. 2021)."""
    cells = relevance(example.head, example.maps, example.selection, sign)
    return weighted(jnp.mean(cells, axis=example.axes), example.maps)
