# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Closed form against autodiff
#
# Every stage of a head has a closed-form derivative, and none of these derivatives is registered with JAX as a custom
# derivative rule. Autodiff therefore does not use them, and both methods compute the same Jacobian independently. This
# notebook compares the two, shows that the comparison detects a wrong formula, and measures the time of each method.

# %%
import time

import jax
import numpy as np

import pcacam_jax
from pcacam_jax import Dense, jacobian
from pcacam_jax.stages import ACTIVATIONS
from pcacam_jax.verification.cases import Draw, table2_cases

draw = Draw(np.random.default_rng(0))

# %% [markdown]
# ## One dense layer
#
# For $x_n = f(W_n x_{n-1} + b_n)$ the Jacobian is $\mathrm{diag}(f'(u_n))\, W_n$ (Eq. 17 and 20).

# %%
kernel, bias = draw.layers(5, 3)[0]
layer, x = Dense(kernel, bias, "sigmoid"), draw.normal(5)
for backend in ("closed_form", "reverse", "forward", "finite_difference"):
    print(f"{backend:18}", np.asarray(jacobian(layer, x, backend=backend))[0].round(5))

# %% [markdown]
# ## The six closed forms of the paper's Table 2
#
# There are two closed forms of PCA-Grad-CAM, one per activation, and four of SVM-Grad-CAM, one per activation and
# kernel. They are the products of Jacobians in Eq. 13 and 15, from the flattened maps to the components and to the
# SVM's decision value. Each is compared with three reference methods in two precisions.

# %%
certificate = pcacam_jax.certify(table2_cases(draw))
for row in certificate.comparisons:
    print(f"{row.name:32} {row.dtype} {row.witness:18} {row.error:.1e} (tolerance {row.tolerance:.0e})")
print("passed" if certificate.passed else "FAILED")

# %% [markdown]
# ## A wrong formula is detected
#
# Here the derivative of the sigmoid is made too large by 0.01 %, and the certificate fails. Even central differences,
# the least accurate reference method, detect the error.

# %%
correct = ACTIVATIONS["sigmoid"]
ACTIVATIONS["sigmoid"] = correct._replace(derivative=lambda u: correct.derivative(u) * 1.0001)
try:
    broken = pcacam_jax.verify(layer, x, name="broken sigmoid")
finally:
    ACTIVATIONS["sigmoid"] = correct
for row in broken.comparisons:
    print(f"{row.name} {row.dtype} {row.witness:18} {row.error:.1e} {'ok' if row.passed else 'FAILED'}")

# %% [markdown]
# ## Time
#
# Grad-CAM needs only the mean of the Jacobian over all positions. The closed form computes this mean without the full
# Jacobian. It averages the first dense kernel over positions once, which is $h \cdot w$ times less work (the pooled
# path). The following cell explains all components, all class margins and all logits of a full-size head for 16
# examples. The head has 7 x 7 x 512 maps, layers of 40, 30, 20 and 10 units, and 300 support vectors.

# %%
head = jax.tree.map(
    lambda leaf: jax.numpy.asarray(leaf, "float32"),
    draw.head((7, 7, 512), (40, 30, 20, 10), "sigmoid", support=300),
)
maps = np.stack([draw.maps(7, 7, 512) for _ in range(16)]).astype("float32")
targets = ["pca", "svm_linear", "svm_rbf", "cnn"]


def seconds(backend):
    def once():
        start = time.perf_counter()
        jax.block_until_ready(pcacam_jax.explain(head, maps, targets, method="gradcam", backend=backend).positive)
        return time.perf_counter() - start

    once()
    return min(once() for _ in range(5))


closed_form, reverse = seconds("closed_form"), seconds("reverse")
print(f"{len(pcacam_jax.explain(head, maps[:1], targets).targets)} targets, 16 examples")
print(f"reverse mode takes {reverse / closed_form:.1f} times as long as the closed form with the pooled path")
