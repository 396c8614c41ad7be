# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # What does a principal component of a network's features mean?
#
# A PCA on the features of a dense layer describes each image by a few numbers, $v_1, v_2, v_3$, and an SVM decides from
# these numbers alone. What do they mean? This notebook answers five questions about a fitted network. How much variance
# does each component explain? Which images lie at its ends? Which regions of an image raise or lower it? Which classes
# does it separate? Which components contribute to a decision?
#
# The data are 50 training and 30 test images per class of Fashion-MNIST, which are included in the package. The maps
# are taken before the last pooling layer of VGG16, where their resolution is twice as high: 6 by 6 values for images of
# 96 pixels. The first run takes about a minute. Later runs take seconds, because the features are cached.

# %%
# %matplotlib inline
import jax
import matplotlib.pyplot as plt
import numpy as np
from IPython.display import Markdown

from pcacam_jax import explain, plots
from pcacam_jax.data import read_dataset
from pcacam_jax.fitting.config import FitConfig
from pcacam_jax.fitting.fit import fit
from pcacam_jax.metrics import shares
from pcacam_jax.reports.figures import TITLES, component_cards, contribution_ratios, explanation, feature_space
from pcacam_jax.reports.map_sentences import sentences
from pcacam_jax.reports.map_statistics import map_statements

dataset = read_dataset("fashion_mnist_sample", limit_per_class=50)
fitted = fit(dataset, FitConfig(size=96))
for name, scores in fitted.metrics["metrics"].items():
    print(f"{name:12} macro F1 train {scores['train_f1']:.3f}, test {scores['test_f1']:.3f}")

# %% [markdown]
# ## How much variance each component explains

# %%
contribution_ratios(fitted)

# %% [markdown]
# ## The feature space of the SVMs
#
# Each point is one training image. The SVMs use no other information about it.

# %%
feature_space(fitted)

# %% [markdown]
# ## The images at the ends of each component
#
# For each component, the training images with the largest values are on the left and those with the smallest values on
# the right. Below each image is its map $L_r$: orange regions raise the component, blue regions lower it.

# %%
cards = component_cards(fitted, count=3)
cards.set_dpi(75)
cards

# %% [markdown]
# ## What each component separates
#
# The following lines list the mean of each component over the test images of each class, in descending order. A
# component separates the first classes of its line from the last ones. It says little about classes with means near
# zero. The sign of a component is a convention: the loading with the largest magnitude is positive.

# %%
v, labels = fitted.components["test"], dataset.test.labels
means = np.array([v[labels == c].mean(axis=0) for c in range(len(dataset.class_names))])
for r in range(means.shape[1]):
    order = np.argsort(-means[:, r])
    print(f"component {r + 1}:", ", ".join(f"{dataset.class_names[c]} {means[c, r]:+.2f}" for c in order))

# %% [markdown]
# ## From components to a decision
#
# The map of an SVM's decision is exactly a weighted sum of the components' maps, $L_{\text{SVM}} = \sum_r w_r L_r$ with
# $w_r = \partial s / \partial v_r$, the derivative of the class margin $s$. The following cell checks this identity on
# all test images, for both SVMs.

# %%
targets = ["pca", "svm_linear:predicted", "svm_rbf:predicted"]
explained = explain(fitted.head, fitted.tap_maps["test"][:], targets)
signed = np.asarray(explained.signed)
components, decisions = signed[:, :3], dict(zip(targets[1:], np.moveaxis(signed[:, 3:], 1, 0), strict=True))
for target, weights in explained.mixture.items():
    mixed = np.einsum("bd,bdhw->bhw", np.asarray(weights), components)
    error = np.abs(mixed - decisions[target]).max() / np.abs(decisions[target]).max()
    print(f"{target:22} largest difference {error:.1e} of the largest value")
    assert error < 1e-5

# %% [markdown]
# The next figure shows one image with the regions that raise and lower each component and the decision.

# %%
index = int(np.flatnonzero(labels == dataset.class_names.index("Trouser"))[4])
image = dataset.test.images([index], fitted.config.size)[0]
one = explain(fitted.head, fitted.tap_maps["test"][[index]], ["pca", "svm_linear:predicted"])
panel = explanation(image, one, 0)
panel.set_dpi(70)
panel

# %% [markdown]
# The bars below are the weights $w_r$. If the weight of a component is positive, its $L_r^+$ raises the decision; if it
# is negative, its $L_r^-$ does. The share of a component in the decision is
# $|w_r| \, \|L_r\| / \sum_s |w_s| \, \|L_s\|$. A component with a share above one half contributes more than all others
# together and dominates the decision.

# %%
weights = np.asarray(one.mixture["svm_linear:predicted"][0])
figure, axes = plt.subplots(figsize=(4.5, 3))
plots.component_weights(axes, weights, f"Lin-SVM, {one.labels[0, 3]}")
plt.close(figure)
share = np.asarray(shares(weights, one.signed[0, :3]))
print("shares of the decision:", ", ".join(f"component {r + 1}: {value:.0%}" for r, value in enumerate(share)))
figure

# %% [markdown]
# ## The sign is local
#
# A map consists of derivatives. It shows which changes of the image would change a component, not why the component has
# its present value. So a component can be positive although the sum of its map is negative. The following cell counts
# how often the two signs differ, and shows the test image on which they differ most for the first component.

# %%
values, total = np.asarray(explained.values)[:, :3], components.sum(axis=(2, 3))
for r, disagree in enumerate((np.sign(values) != np.sign(total)).mean(axis=0)):
    print(f"component {r + 1}: value and map have different signs on {disagree:.0%} of the test images")
opposite = int(np.argmin(values[:, 0] * total[:, 0]))
panel = explanation(
    dataset.test.images([opposite], fitted.config.size)[0],
    explain(fitted.head, fitted.tap_maps["test"][[opposite]], "pca:0"),
    0,
)
panel.set_dpi(70)
panel

# %% [markdown]
# The same is true for decisions, above all those of an RBF SVM. The margin of a linear SVM keeps growing along its
# weights. The margin of an RBF SVM is largest near the support vectors of its class and decreases beyond them. Beyond
# this maximum, its derivative and therefore its map have the opposite sign, although the predicted class is the same.
# The following figure shows both margins for the test image on which the weights of the two SVMs differ most in
# direction. The margins are drawn along the line on which the linear margin grows fastest.

# %%
linear, rbf = (np.asarray(explained.mixture[f"svm_{kernel}:predicted"]) for kernel in ("linear", "rbf"))
same = np.flatnonzero(explained.labels[:, 3] == explained.labels[:, 4])
lengths = np.linalg.norm(linear, axis=1) * np.linalg.norm(rbf, axis=1)
example = int(same[np.argmin((np.sum(linear * rbf, axis=1) / lengths)[same])])
direction = linear[example] / np.linalg.norm(linear[example])
steps = np.linspace(-3, 1, 200)
line = np.asarray(fitted.components["test"][example] + steps[:, None] * direction, np.float32)

figure, axes = plt.subplots(figsize=(5.5, 3.4))
for name in ("svm_linear", "svm_rbf"):
    margins = np.asarray(jax.vmap(fitted.head.svms[name])(line))
    axes.plot(steps, margins[:, int(explained.columns[example, 3])], label=TITLES[name])
axes.axvline(0, color="black", linewidth=0.8, linestyle="--", label="this image")
axes.set(xlabel="distance from the image along the linear weights", ylabel=f"margin of {explained.labels[example, 3]}")
axes.legend()
plt.close(figure)
figure

# %% [markdown]
# ## The maps of many images
#
# The paper looks at a few images, with the maps of Grad-CAM. The following sentences measure its remarks on 200 test
# images. If the map of a decision is similar to the map of a component, the decision need not depend on this component,
# because all maps of an image may be similar. Only the shares tell how much a component contributes.

# %%
Markdown("\n".join(f"- {sentence}" for sentence in sentences(map_statements(fitted))))
