# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Which CAM should I use?
#
# A class activation map (CAM) shows which regions of an image raise or lower a value: a logit, a component of a PCA or
# the decision of an SVM. There are many methods, and their maps of one value differ. This notebook draws all of them,
# measures which ones are faithful, and shows two reasons why they differ.
#
# The data are 50 training and 30 test images per class of Fashion-MNIST, which are included in the package. The first
# run takes about two minutes. Later runs are faster, because the features are cached.

# %%
# %matplotlib inline
import dataclasses
import functools

import jax
import matplotlib.pyplot as plt
import numpy as np
from IPython.display import Markdown
from PIL import Image
from sklearn.datasets import load_sample_image
from sklearn.decomposition import PCA
from sklearn.svm import SVC

from pcacam_jax import cam_method, explain, hybrid_head, trust
from pcacam_jax.cam.methods import METHODS
from pcacam_jax.data import read_dataset
from pcacam_jax.fitting.config import FitConfig
from pcacam_jax.fitting.fit import fit
from pcacam_jax.fitting.reference import reference_of
from pcacam_jax.metrics import centred_gaussian, deletion_curve, signed_drop
from pcacam_jax.nets import weights
from pcacam_jax.nets.backbone import vgg16_backbone
from pcacam_jax.reports.method_figure import defined_methods, method_figure

dataset = read_dataset("fashion_mnist_sample", limit_per_class=50)
fitted = fit(dataset, FitConfig(size=96))
head, reference = fitted.head, reference_of(fitted)
backbone = vgg16_backbone(weights.load(), tap=fitted.config.tap)

# %% [markdown]
# ## All methods on one image
#
# The values are the first component and the decision of the RBF SVM. Most methods need only the feature maps and the
# head behind them, so 20 test images take seconds.

# %%
ROWS = np.arange(len(dataset.test))[::15]
TARGETS = ["pca:0", "svm_rbf:predicted"]
images = dataset.test.images(ROWS, fitted.config.size)
maps = fitted.tap_maps["test"][ROWS]
names = defined_methods(head, TARGETS)
explained = {name: explain(head, maps, TARGETS, method=name) for name in names if METHODS[name].needs != "images"}
print("not defined for this head:", ", ".join(name for name in METHODS if name not in names))

# %% [markdown]
# Three methods run the network again, on masked or noisy images. They are computed for one image only.

# %%
SHOWN = 4
one = slice(SHOWN, SHOWN + 1)
changing = [cam_method("scorecam", top=32), "smooth_gradcam++", "smooth(hirescam)"]
options = {"images": images[one], "backbone": backbone}
repeated = [explain(head, maps[one], TARGETS, method=method, samples=10, **options) for method in changing]


def of_one_image(explanation):
    """Return the part of an explanation that belongs to the shown image."""
    fields = ("positive", "negative", "values", "columns", "labels", "vanished")
    return dataclasses.replace(explanation, **{name: getattr(explanation, name)[one] for name in fields})


figure = method_figure(images[SHOWN], [*map(of_one_image, explained.values()), *repeated])
figure.set_dpi(90)
figure

# %% [markdown]
# Some maps are bright in a corner where the image is black. This is no error. The feature maps are not zero there, and
# behind so many convolutions each cell depends on most of the image. A cell is a position in the feature maps, not a
# cut-out of the image.
#
# ## How faithful are they?
#
# A map makes a claim: its most positive cells raise the value, and its most negative cells lower it. The claim can be
# checked without labels. Remove the 5, 10 and 20 % most positive cells of the feature maps, and the value must fall.
# Remove the most negative ones, and it must rise. The changes below are in standard deviations of the value over the
# training images. A random map and a blob at the centre, which know nothing of the value, show what chance gives.

# %%
first = explained["gradcam"]
signed = {name: np.asarray(explanation.signed) for name, explanation in explained.items()}
signed["random map"] = np.asarray(jax.random.normal(jax.random.key(0), first.signed.shape))
signed["blob at the centre"] = np.broadcast_to(centred_gaussian(maps.shape[1:3]), first.signed.shape)


@functools.partial(jax.jit, static_argnames=("output", "score"))
def scores(maps, signed, columns, *, output, score):
    """Return a score of each map; ``score`` takes the value as a function of a mask, and the map."""

    def of_one(maps, signed, column):
        return score(lambda mask: head(maps * mask[..., None])[output][column], signed)

    return jax.vmap(of_one)(maps, signed, columns)


lines = ["| method | component 1 falls | component 1 rises | RBF SVM falls | RBF SVM rises |", "|---|---|---|---|---|"]
falls = {}
for name, each in signed.items():
    cells = []
    for t, output in enumerate(("pca", "svm_rbf")):
        columns = np.asarray(first.columns[:, t])
        drops = scores(maps, each[:, t], columns, output=output, score=signed_drop)
        spread = reference.spreads[output][columns]
        cells += [np.mean(drops.positive / spread), -np.mean(drops.negative / spread)]
    falls[name] = cells
for name, cells in sorted(falls.items(), key=lambda item: -sum(item[1])):
    lines.append(f"| {name} | " + " | ".join(f"{cell:z.2f}" for cell in cells) + " |")
Markdown("\n".join(lines))

# %% [markdown]
# The methods that look at each cell, `hirescam` and `layercam`, are the best for both values. Grad-CAM reaches about
# half of their changes or less, and its negative evidence for the component is close to that of the random map.
# `layercam` has the same row as `hirescam`, because the difference of its two maps is the same map. These are 20 images
# of one data set; the documentation's page *Which method* has six, with confidence intervals.
#
# The next figure shows the whole curve for the component: its mean while cells are removed, most positive first.

# %%
figure, axes = plt.subplots(figsize=(5.5, 3.4))
for name in ("hirescam", "gradcam", "blob at the centre", "random map"):
    curves = scores(maps, signed[name][:, 0], np.asarray(first.columns[:, 0]), output="pca", score=deletion_curve)
    mean = np.asarray(curves - curves[:, :1]).mean(axis=0) / reference.spreads["pca"][0]
    axes.plot(np.linspace(0, 100, len(mean)), mean, label=name, linestyle="-" if "cam" in name else "--")
axes.axhline(0, color="black", linewidth=0.8)
axes.set(xlabel="removed cells (%)", ylabel="change of component 1\n(standard deviations)")
axes.legend()
plt.close(figure)
figure

# %% [markdown]
# ## Why Grad-CAM misses something
#
# This head flattens the feature maps, so every cell of a feature map has its own gradient. Grad-CAM gives a feature map
# one weight, the mean of these gradients. What they have in common survives, and all differences between cells are
# lost. The next cell measures how much of the gradient the means hold, as a share of its squared norm.

# %%
gradient = jax.jit(jax.vmap(jax.grad(lambda maps: head(maps)["pca"][0])))(maps)
cells = maps.shape[1] * maps.shape[2]
common = cells * np.square(gradient.mean(axis=(1, 2))).sum(axis=-1) / np.square(gradient).sum(axis=(1, 2, 3))
print(f"the means hold {np.mean(common):.0%} of the gradient; by chance it would be {1 / cells:.0%}")

# %% [markdown]
# Behind a global average this cannot happen: all cells have the same gradient. The next cell fits a PCA and two SVMs
# with scikit-learn to the means of the feature maps, without any dense layer. For this head, Grad-CAM and HiResCAM
# agree.

# %%
train_means = fitted.tap_maps["train"][:].mean(axis=(1, 2))
pca = PCA(3, whiten=True).fit(train_means)
v, labels = pca.transform(train_means), dataset.train.labels
svms = {f"svm_{kernel}": SVC(kernel=kernel).fit(v, labels) for kernel in ("linear", "rbf")}
averaged = hybrid_head(
    [], maps_shape=maps.shape[1:], pca=pca, svms=svms, pool="average", class_names=dataset.class_names
)
DECISIONS = ["svm_linear:predicted", "svm_rbf:predicted"]
on_means = {
    name: explain(averaged, maps, DECISIONS, method=name)
    for name in ("gradcam", "hirescam", "shapleycam", "gradcam++exact")
}


def correlations(head_of, name, other):
    """Return the correlation of the maps of two methods, (images, targets)."""
    pairs = zip(*(np.asarray(head_of[each].signed).reshape(-1, cells) for each in (name, other)), strict=True)
    return np.array([np.corrcoef(*pair)[0, 1] for pair in pairs]).reshape(len(maps), -1)


print(
    f"flattened maps: correlation of gradcam and hirescam {correlations(explained, 'gradcam', 'hirescam').mean():.2f}"
)
print(f"means of maps:  correlation of gradcam and hirescam {correlations(on_means, 'gradcam', 'hirescam').mean():.2f}")

# %% [markdown]
# ## Curvature
#
# A gradient is the answer for a small change. If the value bends, a large change has another effect. The decision of a
# linear SVM on the means does not bend. That of an RBF SVM does: it has its maximum near the support vectors, where the
# gradient is zero. Two methods take this into account with the exact second and third derivatives. `shapleycam`
# corrects the gradient by half of the curvature. `gradcam++exact` weighs the gradients of a feature map by it.

# %%
for t, name in enumerate(("linear SVM", "RBF SVM")):
    similar = correlations(on_means, "gradcam", "shapleycam")[:, t]
    undefined = np.asarray(on_means["gradcam++exact"].fallback)[:, t]
    print(
        f"{name:10} correlation of gradcam and shapleycam: mean {similar.mean():5.2f}, lowest {similar.min():5.2f}; "
        f"gradcam++exact falls back at {undefined.mean():.0%} of the cells"
    )

# %% [markdown]
# For the linear SVM, `shapleycam` is Grad-CAM, and `gradcam++exact` has no curvature to work with. For the RBF SVM, the
# maps of some images change their signs. The next figure shows the image where they differ most.

# %%
BENT = int(correlations(on_means, "gradcam", "shapleycam")[:, 1].argmin())
one = slice(BENT, BENT + 1)
figure = method_figure(images[BENT], [of_one_image(explanation) for explanation in on_means.values()])
figure.set_dpi(90)
figure

# %% [markdown]
# For the RBF SVM, Grad-CAM says how the margin changes if the features grow a little: it falls, because the image lies
# beyond the maximum. `shapleycam` estimates what the margin loses if features are removed, with the second derivatives.
# These are different questions, and here they have opposite answers.
#
# ## Can I trust this map?
#
# `trust` puts what speaks for and against each map into one sentence. It needs no labels, and with the training
# reference of a run it also says whether the image resembles the training images. The second image is a photograph of a
# flower, which this network has never seen.

# %%
flower = Image.fromarray(load_sample_image("flower.jpg")).resize((fitted.config.size,) * 2, Image.Resampling.BOX)
both = np.stack([images[SHOWN], np.asarray(flower)])
both_maps = np.asarray(backbone(both))
judged = explain(head, both_maps, TARGETS, method="hirescam")
for title, image in zip(("test image", "flower"), trust(judged, head, both_maps, reference).sentences(), strict=True):
    print(title)
    for target, sentence in zip(TARGETS, image, strict=True):
        print(f"  {target}: {sentence}.")

# %%
figure = method_figure(both[1], [judged], example=1)
figure.set_dpi(90)
figure

# %% [markdown]
# The SVM gives the flower one of its ten classes, and the map looks like any other. Without the warning, nothing would
# show that the decision has no meaning.
#
# ## What to use
#
# - For a head that flattens its feature maps, use `hirescam`, the default. It costs about as much as Grad-CAM, one pass
#   gives evidence for and against, and the map of an SVM stays an exact mixture of the maps of the components.
# - Behind a global average, `gradcam` and `hirescam` agree.
# - For the decision of an RBF SVM, look at `shapleycam`, too. If it differs from Grad-CAM, the decision bends there.
# - `eigencam` does not depend on the value. Use it only as a baseline.
# - Check with `trust`, or with `pcacam explain --trust`, before you believe a map.
#
# In the documentation, *Which method* compares the methods on six data sets, and *CAM methods* has their formulas and
# options.
