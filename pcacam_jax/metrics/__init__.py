"""Metrics of heatmaps: pure functions of arrays for one example. Use ``jax.vmap`` for batches."""

from pcacam_jax.metrics.agreement import DOMINANT, contributions, correlation, cosine, shares
from pcacam_jax.metrics.baselines import BesideBaselines, beside_baselines, centred_gaussian, random_map
from pcacam_jax.metrics.complexity import sparseness
from pcacam_jax.metrics.faithfulness import (
    SignedDrop,
    area,
    average_drop,
    average_increase,
    deletion_curve,
    drop,
    insertion_curve,
    signed_drop,
)
from pcacam_jax.metrics.imputation import Road, impute, road
from pcacam_jax.metrics.localisation import mass_inside, pointing_game
from pcacam_jax.metrics.perturbations import infidelity, max_sensitivity, random_masks

__all__ = [
    "DOMINANT",
    "BesideBaselines",
    "Road",
    "SignedDrop",
    "area",
    "average_drop",
    "average_increase",
    "beside_baselines",
    "centred_gaussian",
    "contributions",
    "correlation",
    "cosine",
    "deletion_curve",
    "drop",
    "impute",
    "infidelity",
    "insertion_curve",
    "mass_inside",
    "max_sensitivity",
    "pointing_game",
    "random_map",
    "random_masks",
    "road",
    "shares",
    "signed_drop",
    "sparseness",
]
