"""Measures of heatmaps as numbers: pure functions of arrays, for one example."""

from pcacam_jax.metrics.agreement import DOMINANT, contributions, correlation, cosine, shares

__all__ = ["DOMINANT", "contributions", "correlation", "cosine", "shares"]
