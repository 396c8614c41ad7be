"""The table of CAM methods."""

from pcacam_jax.cam.gradcam import grad_cam

METHODS = {"gradcam": grad_cam}
"""CAM methods by name: functions (head, maps, selection, backend) -> positive, negative, each ``(T, h, w)``."""
