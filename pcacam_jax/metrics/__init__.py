"""Metrics of heatmaps: pure functions of arrays for one example. Use ``jax.vmap`` for batches."""

from pcacam_jax.metrics.agreement import DOMINANT, contributions, correlation, cosine, shares

__all__ = ["DOMINANT", "contributions", "correlation", "cosine", "shares"]
