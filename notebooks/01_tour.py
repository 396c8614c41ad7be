# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # A tour: where did the network look for each principal component and each SVM decision?
#
# A VGG16 with ImageNet weights turns images into feature maps. A small dense head is trained on them, scikit-learn fits
# a PCA and two SVMs on its second layer, and closed-form Jacobians say which regions of an image push every component
# and every decision up or down. The data are 100 training and 30 test images a class of Fashion-MNIST, which come with
# the package. The first run takes about a minute, later ones seconds: features are kept in a cache.

# %%
# %matplotlib inline
import numpy as np

from pcacam_jax import explain
from pcacam_jax.data import read_dataset
from pcacam_jax.fitting.config import FitConfig
from pcacam_jax.fitting.fit import fit
from pcacam_jax.reports.figures import contribution_ratios, feature_space, grid, influence, learning_curve

# %% [markdown]
# ## Fit
#
# Features of every image, then the head (40, 30, 20, 10 units), then PCA with three components on the second layer's
# output, then a linear and an RBF SVM on the components. Every exported stage is compared with scikit-learn's own
# output on the way.

# %%
dataset = read_dataset("fashion_mnist_sample")
fitted = fit(dataset, FitConfig(size=96))
for name, scores in fitted.metrics["metrics"].items():
    print(f"{name:12} macro F1 train {scores['train_f1']:.3f}, test {scores['test_f1']:.3f}")

# %%
learning_curve(fitted)

# %% [markdown]
# ## What the components are
#
# Three numbers an image, in which the classes already separate. Support vectors are ringed.

# %%
contribution_ratios(fitted)

# %%
feature_space(fitted)

# %% [markdown]
# ## Where the network looked
#
# One row an image: the conventional Grad-CAM of the predicted class, the maps of both SVMs' decisions, and for every
# component the regions that push it up ($L^+$) and down ($L^-$), on one shared scale.

# %%
picture = grid(fitted)
picture.set_dpi(60)
picture

# %% [markdown]
# ## An SVM's map is a mixture of the components' maps
#
# The weights are the derivatives of the class margin with respect to the components, $\partial s / \partial v_r$. The
# identity is exact, so a decision can be read component by component.

# %%
maps = np.array(fitted.maps["test"][:50])
explanation = explain(fitted.head, maps, ["pca", "svm_rbf:predicted"])
weights = np.asarray(explanation.mixture["svm_rbf:predicted"])
components, decision = np.asarray(explanation.signed[:, :3]), np.asarray(explanation.signed[:, 3])
mixed = np.einsum("bd,bdhw->bhw", weights, components)
print("largest difference", np.abs(mixed - decision).max(), "of maps as large as", np.abs(decision).max())
print("weights of the first image:", weights[0].round(3), "for class", explanation.labels[0, 3])

# %% [markdown]
# ## Which support vectors count
#
# The influence of a support vector on an RBF map depends on its distance alone. It vanishes at both ends and is
# greatest at $d^* = 1 / \sqrt{2 \gamma}$.

# %%
influence(fitted)

# %% [markdown]
# ## The proof
#
# The closed forms of this very head against reverse mode, forward mode and central differences.

# %%
for row in fitted.certificate.comparisons:
    print(f"{row.name:18} {row.dtype} {row.witness:18} {row.error:.1e} {'ok' if row.passed else 'FAILED'}")
