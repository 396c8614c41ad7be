"""Figures as functions of arrays.

A function that draws one panel takes matplotlib axes and draws on them. A function that draws several panels returns a
whole figure. No function uses pyplot, so they work without a display, and a figure is freed with its last reference.
"""

from pcacam_jax.plots.colour_bars import colour_bar
from pcacam_jax.plots.component_panels import Side, component_cards
from pcacam_jax.plots.confusion import confusion_matrix
from pcacam_jax.plots.curves import component_weights, contribution_ratios, influence_curve, learning_curve
from pcacam_jax.plots.evidence_panels import SupportImages, decision_evidence
from pcacam_jax.plots.feature_scatter import feature_space
from pcacam_jax.plots.grid import paper_grid
from pcacam_jax.plots.heatmaps import image, overlay, overlay_pair, signed_overlay, unknown
from pcacam_jax.plots.method_panels import method_gallery
from pcacam_jax.plots.panels import explanation_panel
from pcacam_jax.plots.png import save

__all__ = [
    "Side",
    "SupportImages",
    "colour_bar",
    "component_cards",
    "component_weights",
    "confusion_matrix",
    "contribution_ratios",
    "decision_evidence",
    "explanation_panel",
    "feature_space",
    "image",
    "influence_curve",
    "learning_curve",
    "method_gallery",
    "overlay",
    "overlay_pair",
    "paper_grid",
    "save",
    "signed_overlay",
    "unknown",
]
