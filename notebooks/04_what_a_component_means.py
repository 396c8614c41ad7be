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
# A PCA on the features of a dense layer gives every image a few numbers, $v_1, v_2, v_3$, and an SVM decides by them
# alone. But what do these numbers stand for? This notebook asks a fitted network: how much each component carries,
# which images lie at its ends, which regions of an image raise or lower it, which classes it separates, and from
# which of them a decision is read.
#
# The data are 50 training and 30 test images a class of Fashion-MNIST, which come with the package. Maps are taken
# before VGG16's last pooling, where they are twice as fine: 6 by 6 values at 96 pixels. The first run takes about a
# minute, later ones seconds: features are kept in a cache.

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
fitted = fit(dataset, FitConfig(size=96, tap="block5_conv3"))
for name, scores in fitted.metrics["metrics"].items():
    print(f"{name:12} macro F1 train {scores['train_f1']:.3f}, test {scores['test_f1']:.3f}")

# %% [markdown]
# ## How much each component carries

# %%
contribution_ratios(fitted)

# %% [markdown]
# ## The space that the SVMs decide in
#
# Every training image is one point. An SVM never sees anything else of it.

# %%
feature_space(fitted)

# %% [markdown]
# ## The images at the ends
#
# For each component the training images with the largest value on the left and with the smallest on the right, and
# below each image its map $L_r$: orange where the picture raises the component, blue where it lowers it.

# %%
cards = component_cards(fitted, count=3)
cards.set_dpi(75)
cards

# %% [markdown]
# ## What each component separates
#
# The mean of every component over the test images of each class. A component parts the classes at the top of its
# column from those at the bottom, and says little about those near zero. Its sign is a convention: the loading of
# largest magnitude is made positive.

# %%
v, labels = fitted.components["test"], dataset.test.labels
means = np.array([v[labels == c].mean(axis=0) for c in range(len(dataset.class_names))])
for r in range(means.shape[1]):
    order = np.argsort(-means[:, r])
    print(f"v_{r + 1}:", ", ".join(f"{dataset.class_names[c]} {means[c, r]:+.2f}" for c in order))

# %% [markdown]
# ## How a decision is read from components
#
# The map of an SVM's decision is exactly a mixture of the components' maps,
# $L_{\text{SVM}} = \sum_r w_r L_r$ with $w_r = \partial s / \partial v_r$, the derivative of the class margin $s$.
# First the proof in numbers, over all test images and both SVMs.

# %%
targets = ["pca", "svm_linear:predicted", "svm_rbf:predicted"]
explained = explain(fitted.head, np.array(fitted.maps["test"]), targets)
signed = np.asarray(explained.signed)
parts, decisions = signed[:, :3], dict(zip(targets[1:], np.moveaxis(signed[:, 3:], 1, 0), strict=True))
for target, weights in explained.mixture.items():
    mixed = np.einsum("bd,bdhw->bhw", np.asarray(weights), parts)
    error = np.abs(mixed - decisions[target]).max() / np.abs(decisions[target]).max()
    print(f"{target:22} largest difference {error:.1e} of the largest value")
    assert error < 1e-5

# %% [markdown]
# Now one image. The panel shows where each component, and the decision itself, is raised and lowered.

# %%
index = int(np.flatnonzero(labels == dataset.class_names.index("Trouser"))[4])
image = dataset.test.images([index], fitted.config.size)[0]
one = explain(fitted.head, np.array(fitted.maps["test"][[index]]), ["pca", "svm_linear:predicted"])
panel = explanation(image, one, 0)
panel.set_dpi(70)
panel

# %% [markdown]
# The bars are the weights $w_r$. A component with a positive weight enters with its $L_r^+$, one with a negative weight
# with its $L_r^-$. How much each gives is its share, $|w_r| \, \|L_r\| / \sum_s |w_s| \, \|L_s\|$: above one half it
# gives more than all others together and dominates the decision.

# %%
weights = np.asarray(one.mixture["svm_linear:predicted"][0])
figure, axes = plt.subplots(figsize=(4.5, 3))
plots.component_weights(axes, weights, f"Lin-SVM, {one.labels[0, 3]}")
plt.close(figure)
share = np.asarray(shares(weights, one.signed[0, :3]))
print("shares of the decision:", ", ".join(f"component {r + 1}: {own:.0%}" for r, own in enumerate(share)))
figure

# %% [markdown]
# ## The sign is local
#
# A map is made of derivatives: it says what would move a component from where it is, not why it is there. So a
# component may be positive while its map pushes down on the whole. This is how often sign and map disagree, and the
# test image where they disagree most.

# %%
values, total = np.asarray(explained.values)[:, :3], parts.sum(axis=(2, 3))
for r, disagree in enumerate((np.sign(values) != np.sign(total)).mean(axis=0)):
    print(f"component {r + 1}: the map points the other way on {disagree:.0%} of the test images")
against = int(np.argmin(values[:, 0] * total[:, 0]))
panel = explanation(
    dataset.test.images([against], fitted.config.size)[0],
    explain(fitted.head, np.array(fitted.maps["test"][[against]]), "pca:0"),
    0,
)
panel.set_dpi(70)
panel

# %% [markdown]
# The same holds for decisions, and for an RBF machine it matters most. A linear margin keeps growing along its
# weights; an RBF margin is highest near the support vectors of its class and falls beyond them. Past that top its
# derivative, and with it the map, points the other way, though the class is the same. Here is the test image on which
# the RBF-SVM's map is turned furthest against the linear one's: both margins, along the line on which the linear one
# grows.

# %%
linear, rbf = (np.asarray(explained.mixture[f"svm_{kernel}:predicted"]) for kernel in ("linear", "rbf"))
same = np.flatnonzero(explained.labels[:, 3] == explained.labels[:, 4])
lengths = np.linalg.norm(linear, axis=1) * np.linalg.norm(rbf, axis=1)
turned = int(same[np.argmin((np.sum(linear * rbf, axis=1) / lengths)[same])])
direction = linear[turned] / np.linalg.norm(linear[turned])
steps = np.linspace(-3, 1, 200)
line = np.asarray(fitted.components["test"][turned] + steps[:, None] * direction, np.float32)

figure, axes = plt.subplots(figsize=(5.5, 3.4))
for name in ("svm_linear", "svm_rbf"):
    margins = np.asarray(jax.vmap(fitted.head.svms[name])(line))
    axes.plot(steps, margins[:, int(explained.columns[turned, 3])], label=TITLES[name])
axes.axvline(0, color="black", linewidth=0.8, linestyle="--", label="this image")
axes.set(xlabel="distance from the image along the linear weights", ylabel=f"margin of {explained.labels[turned, 3]}")
axes.legend()
plt.close(figure)
figure

# %% [markdown]
# ## What the maps say on the whole
#
# The paper looks at a few images; here are its remarks as numbers over 200 test images. A high similarity of two maps
# does not yet say that a decision is read from that component, since the maps of one image may all be alike; the shares
# do.

# %%
Markdown("\n".join(f"- {sentence}" for sentence in sentences(map_statements(fitted))))
