"""Heatmaps as arrays: one file per family of methods, each for one example and any number of targets."""

from pcacam_jax.cam.gradient import grad_cam
from pcacam_jax.cam.heatmap import normalise, resize, shared_maximum
from pcacam_jax.cam.selection import Selection

METHODS = {"gradcam": grad_cam}
"""Every method by name: (head, maps, selection, backend) -> positive, negative (T, h, w)."""

__all__ = ["METHODS", "Selection", "grad_cam", "normalise", "resize", "shared_maximum"]
