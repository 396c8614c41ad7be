"""The table of CAM methods: names, papers, formulas, and what each one needs."""

import dataclasses
from typing import Any

from pcacam_jax.cam import ablation, eigen, grad_cam_plus_plus, gradcam, score, shapley, weights
from pcacam_jax.cam.method import Method
from pcacam_jax.cam.options import checked_options
from pcacam_jax.cam.smooth import smooth
from pcacam_jax.core.checks import InputError
from pcacam_jax.core.text import shown

_FAMILY = "L = sum_k a_k A_k, a_k = "

_ENTRIES = (
    Method(
        "gradcam",
        "Selvaraju et al. 2017; Omae 2025, Eq. 8-11 and 14",
        _FAMILY + "mean_ij g",
        gradcam.grad_cam,
        needs="gradient",
        answers="which feature maps matter: mean gradient, one weight for all cells",
        linear="gradient",
        pooled=True,
        homogeneous=True,
    ),
    Method(
        "cam",
        "Zhou et al. 2016",
        _FAMILY + "the weight of mean_ij A_ijk in y",
        gradcam.class_activation_map,
        needs="gradient",
        answers="which feature maps matter: their weights behind the global average",
        linear="gradient",
        pooled=True,
        homogeneous=True,
        rule="raises where y is not an affine function of the means of the maps",
        check=gradcam.check_averaged,
    ),
    Method(
        "gradcam++",
        "Chattopadhay et al. 2018",
        _FAMILY + "sum_ij alpha ReLU(g), alpha = g^2 / (2 g^2 + S_k g^3)",
        grad_cam_plus_plus.grad_cam_plus_plus,
        needs="gradient",
        answers="which feature maps raise exp(y): weighted sum of positive gradients",
        passes=2,
        rule="assumes the score exp(y); alpha = 0 where |2 + S_k g| < 1e-6",
        options=(("target_scale", 1.0),),
    ),
    Method(
        "gradcam++authors",
        "Chattopadhay et al. 2018, the authors' program",
        _FAMILY + "sum_ij alpha ReLU(g) / sum_ij alpha [g > 0]",
        grad_cam_plus_plus.authors_grad_cam_plus_plus,
        needs="gradient",
        answers="which feature maps raise exp(y): weighted mean of positive gradients",
        passes=2,
        rule="the factor exp(y) is left out",
    ),
    Method(
        "gradcam++exact",
        "Chattopadhay et al. 2018, with the derivatives of y itself",
        _FAMILY + "sum_ij alpha ReLU(g), alpha = y2 / (2 y2 + S_k y3)",
        grad_cam_plus_plus.exact_grad_cam_plus_plus,
        needs="curvature",
        answers="which feature maps raise y: positive gradients, weighted by curvature",
        passes=2,
        rule="alpha = 1 / (h w) where the denominator vanishes",
    ),
    Method(
        "smooth_gradcam++",
        "Omeiza et al. 2019",
        _FAMILY + "sum_ij alpha ReLU(g), with means of g, g^2 and g^3 over noisy images",
        grad_cam_plus_plus.smooth_grad_cam_plus_plus,
        needs="images",
        answers="as gradcam++, with derivatives averaged over noisy images",
        passes=2,
        rule="A and S_k are those of the image without noise",
        statistics=grad_cam_plus_plus.moments,
    ),
    Method(
        "xgradcam",
        "Fu et al. 2020",
        _FAMILY + "sum_ij g A / S_k",
        gradcam.xgrad_cam,
        needs="gradient",
        answers="which feature maps matter: mean gradient where they are active",
        linear="gradient",
        homogeneous=True,
        rule="a_k = 0 where S_k is about 0",
    ),
    Method(
        "hirescam",
        "Draelos and Carin 2020",
        "L = sum_k g_k * A_k",
        gradcam.hires_cam,
        needs="gradient",
        answers="which cells matter: gradient times activation in each cell",
        linear="gradient",
        homogeneous=True,
    ),
    Method(
        "layercam",
        "Jiang et al. 2021",
        "L = sum_k ReLU(g_k) * A_k",
        gradcam.layer_cam,
        needs="gradient",
        answers="which cells raise y: positive gradients times activation in each cell",
        passes=2,
        homogeneous=True,
    ),
    Method(
        "relevancecam",
        "Lee et al. 2021",
        _FAMILY + "mean_ij of the relevance of A_ijk",
        weights.relevance_cam,
        needs="head",
        answers="which feature maps get relevance, passed back from y layer by layer",
        passes=2,
        rule="z+ rule; a logit starts at 1 against -1 / (N - 1) for the others, other targets at 1; raises for "
        "probabilities, normalised vectors and votes",
    ),
    Method(
        "scorecam",
        "Wang et al. 2020",
        _FAMILY + "y(X * mask_k) - y(baseline)",
        score.score_cam,
        needs="images",
        answers="which feature maps mark regions of the image that alone raise y",
        linear="target",
        rule="the masks are the maps scaled to 0..1 and resized; the baseline is an input of zeros; no softmax",
        options=(("top", None),),
    ),
    Method(
        "ablationcam",
        "Desai and Ramaswamy 2020",
        _FAMILY + "y - y(without map k)",
        ablation.ablation_cam,
        needs="head",
        answers="which feature maps y needs: its drop when one of them is removed",
        linear="target",
        rule="the difference is not divided by y",
    ),
    Method(
        "shapcam",
        "Zheng et al. 2022",
        _FAMILY + "sum_ij phi_ij A_ijk / S_k",
        shapley.shap_cam,
        needs="head",
        answers="which feature maps are active at positions of high Shapley value",
        rule="phi_ij is the Shapley value of a position; absent positions are 0",
        options=(("players", "positions"), ("samples", 64), ("tolerance", 0.02)),
    ),
    Method(
        "shapleycam",
        "Cai 2025",
        _FAMILY + "mean_ij (g - H A / 2)",
        shapley.shapley_cam,
        needs="curvature",
        answers="which feature maps matter: mean gradient, corrected for curvature",
        linear="target",
    ),
    Method(
        "liftcam",
        "Jung and Oh 2021; Shrikumar et al. 2017",
        _FAMILY + "sum_ij of the DeepLIFT contributions of A_ijk",
        weights.lift_cam,
        needs="head",
        answers="which feature maps account for y, compared with maps of zeros",
        linear="target",
        rule="rescale rule from maps of zeros; raises for probabilities, normalised vectors and votes",
    ),
    Method(
        "eigencam",
        "Muhammad and Yeasin 2020",
        "A, (h w, K), projected on its first right singular vector",
        eigen.eigen_cam,
        needs="maps",
        answers="what the feature maps have in common; y plays no part",
        evidence=False,
        rule="the inner product with sum_k A_k is positive; the maps are not centred",
    ),
    Method(
        "eigengradcam",
        "Gildenblat et al. 2021, pytorch-grad-cam",
        "g * A, (h w, K), projected on its first right singular vector",
        eigen.eigen_grad_cam,
        needs="gradient",
        answers="what the products of gradient and activation have in common",
        homogeneous=True,
        rule="the inner product with sum_k g_k * A_k is positive",
    ),
)

METHODS: dict[str, Method] = {method.name: method for method in _ENTRIES}
"""The CAM methods by name."""


def needs_images(method: Any) -> bool:
    """Return whether a method, or the method of this name, changes images."""
    return as_method(method).needs == "images"


def as_method(method: Any) -> Method:
    """Return a method itself, or the method of this name.

    Raises:
        InputError: the name is unknown.
    """
    return method if isinstance(method, Method) else cam_method(method)


def cam_method(name: str, **options: Any) -> Method:
    """Return a CAM method with options other than the defaults, for ``explain(method=...)``.

    Args:
        name: one of :data:`METHODS`, or ``"smooth(...)"`` with one of them.
        **options: options of the method, such as ``target_scale`` of "gradcam++".

    Raises:
        InputError: the name or an option is unknown; the message lists the known ones.

    Example:
        >>> from pcacam_jax.cam.methods import cam_method
        >>> cam_method("gradcam++", target_scale=2.0).options
        (('target_scale', 2.0),)
    """
    if isinstance(name, str) and name.startswith("smooth(") and name.endswith(")"):
        return smooth(cam_method(name[len("smooth(") : -1], **options))
    if not isinstance(name, str) or name not in METHODS:
        raise InputError(f"method must be one of {', '.join(METHODS)}, or smooth(one of them); got {shown(name)}.")
    method = METHODS[name]
    return dataclasses.replace(method, options=checked_options(name, dict(method.options), options))
