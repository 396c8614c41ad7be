"""The oracle: values, Jacobians and heatmaps of a head by NumPy loops that follow the paper's formulas.

It shares no code with the library. It reads raw arrays only: dense ``[(kernel (in, out), bias)]`` and scikit-learn's
fitted attributes. It is slow, because it is written to be compared with the formulas line by line. Equation numbers are
those of the paper (arXiv 2508.11880).
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

# --- activations, Eq. 18-19 -------------------------------------------------------------------------------------------


def activate(name, u):
    """f(u), elementwise."""
    out = np.zeros(len(u))
    for q, value in enumerate(u):
        if name == "sigmoid":
            out[q] = 1.0 / (1.0 + np.exp(-value))
        elif name == "relu":
            out[q] = value if value > 0 else 0.0
        else:
            raise ValueError(name)
    return out


def slope(name, u):
    """f'(u), elementwise: f (1 - f) for the sigmoid; for ReLU 1 if u > 0, else 0."""
    out = np.zeros(len(u))
    for q, value in enumerate(u):
        if name == "sigmoid":
            f = 1.0 / (1.0 + np.exp(-value))
            out[q] = f * (1.0 - f)
        elif name == "relu":
            out[q] = 1.0 if value > 0 else 0.0
        else:
            raise ValueError(name)
    return out


# --- flatten and pool, Eq. 1-2 ----------------------------------------------------------------------------------------


def position(i, j, k, width, channels):
    """The index of F_k[i, j] in the flattened maps, channels last."""
    return (i * width + j) * channels + k


def flatten(maps):
    """(h, w, K) -> (h w K,)."""
    h, w, channels = maps.shape
    out = np.zeros(h * w * channels)
    for i in range(h):
        for j in range(w):
            for k in range(channels):
                out[position(i, j, k, w, channels)] = maps[i, j, k]
    return out


def pool_winner(maps, i, j, k):
    """The position of the maximum of window (i, j, k) of the 2 x 2 max-pool, the first one in row-major order."""
    best = (2 * i, 2 * j)
    for row in (2 * i, 2 * i + 1):
        for column in (2 * j, 2 * j + 1):
            if maps[row, column, k] > maps[best[0], best[1], k]:
                best = (row, column)
    return best


def max_pool(maps):
    """(h, w, K) -> (h // 2, w // 2, K); an odd last row or column is dropped."""
    h, w, channels = maps.shape
    out = np.zeros((h // 2, w // 2, channels))
    for i in range(h // 2):
        for j in range(w // 2):
            for k in range(channels):
                row, column = pool_winner(maps, i, j, k)
                out[i, j, k] = maps[row, column, k]
    return out


def max_pool_jacobian(maps):
    """d flatten(max_pool(F)) / d flatten(F): 1 for the maximum of each window, else 0."""
    h, w, channels = maps.shape
    out = np.zeros(((h // 2) * (w // 2) * channels, h * w * channels))
    for i in range(h // 2):
        for j in range(w // 2):
            for k in range(channels):
                row, column = pool_winner(maps, i, j, k)
                out[position(i, j, k, w // 2, channels), position(row, column, k, w, channels)] = 1.0
    return out


# --- PCA, Eq. 5 and 23 ------------------------------------------------------------------------------------------------


def pca_matrix(pca):
    """dv/dx_m = P^T, with whitening diag(lambda)^(-1/2) P^T."""
    rows = []
    for r, component in enumerate(pca.components_):
        row = np.array(component, dtype=np.float64)
        if pca.whiten:
            row = row / np.sqrt(pca.explained_variance_[r])
        rows.append(row)
    return np.array(rows)


def pca_values(pca, x):
    """v = P^T (x_m - mu)."""
    return pca_matrix(pca) @ (np.asarray(x, dtype=np.float64) - pca.mean_)


# --- SVM, Eq. 6-7 and 24-26 -------------------------------------------------------------------------------------------


def kernel(svc, s, v):
    """k(s, v): s^T v or exp(-gamma ||s - v||^2)."""
    if svc.kernel == "linear":
        return sum(s[r] * v[r] for r in range(len(v)))
    if svc.kernel == "rbf":
        return np.exp(-svc.gamma * sum((s[r] - v[r]) ** 2 for r in range(len(v))))
    raise ValueError(svc.kernel)


def kernel_gradient(svc, s, v):
    """dk(s, v)/dv: s (Eq. 25) or 2 gamma k(s, v) (s - v) (Eq. 26)."""
    if svc.kernel == "linear":
        return np.array(s, dtype=np.float64)
    if svc.kernel == "rbf":
        return 2.0 * svc.gamma * kernel(svc, s, v) * (s - v)
    raise ValueError(svc.kernel)


def binary_svms(svc):
    """One ``(i, j, [(alpha_t t_t, s_t), ...], b)`` for each pair of classes i < j; g_ij > 0 votes for i.

    For two classes scikit-learn stores the decision value with the opposite sign, positive for ``classes_[1]``.
    """
    vectors = svc.support_vectors_
    if len(svc.classes_) == 2:
        terms = [(-svc.dual_coef_[0, t], vectors[t]) for t in range(len(vectors))]
        return [(0, 1, terms, -svc.intercept_[0])]
    starts = [0]
    for count in svc.n_support_:
        starts.append(starts[-1] + int(count))
    out = []
    for i in range(len(svc.classes_)):
        for j in range(i + 1, len(svc.classes_)):
            terms = [(svc.dual_coef_[j - 1, t], vectors[t]) for t in range(starts[i], starts[i + 1])]
            terms += [(svc.dual_coef_[i, t], vectors[t]) for t in range(starts[j], starts[j + 1])]
            out.append((i, j, terms, svc.intercept_[len(out)]))
    return out


def pair_values(svc, v):
    """g_ij(v) for each pair, Eq. 6."""
    out = {}
    for i, j, terms, b in binary_svms(svc):
        g = b
        for coefficient, s in terms:
            g += coefficient * kernel(svc, s, v)
        out[i, j] = g
    return out


def pair_gradients(svc, v):
    """dg_ij/dv for each pair, Eq. 24."""
    out = {}
    for i, j, terms, _ in binary_svms(svc):
        gradient = np.zeros(len(v))
        for coefficient, s in terms:
            gradient += coefficient * kernel_gradient(svc, s, v)
        out[i, j] = gradient
    return out


def margins(svc, v):
    """s_c: the sum of g over the pairs with class c, signed toward c."""
    out = np.zeros(len(svc.classes_))
    for (i, j), g in pair_values(svc, v).items():
        out[i] += g
        out[j] -= g
    return out


def margin_gradients(svc, v):
    """ds_c/dv, (C, D): the signed sums of the pairs' gradients."""
    out = np.zeros((len(svc.classes_), len(v)))
    for (i, j), gradient in pair_gradients(svc, v).items():
        out[i] += gradient
        out[j] -= gradient
    return out


def votes(svc, v):
    """The number of pairs that vote for each class."""
    out = np.zeros(len(svc.classes_))
    for (i, j), g in pair_values(svc, v).items():
        out[i if g > 0 else j] += 1
    return out


def one_vs_rest(svc, v):
    """The 'ovr' decision values of scikit-learn for more than two classes: votes + s / (3 (|s| + 1))."""
    s = margins(svc, v)
    return votes(svc, v) + s / (3.0 * (np.abs(s) + 1.0))


def predicted_class(svc, v):
    """The index of the class with most votes, the first one at ties; with ``break_ties`` the largest 'ovr' value."""
    score = one_vs_rest(svc, v) if svc.break_ties and len(svc.classes_) > 2 else votes(svc, v)
    best = 0
    for c in range(len(score)):
        if score[c] > score[best]:
            best = c
    return best


# --- heatmaps, Eq. 8-11 and 14 ----------------------------------------------------------------------------------------


def map_weights(gradient):
    """a_k: the mean over (i, j) of d target / dF_k[i, j]; gradient is (h, w, K)."""
    h, w, channels = gradient.shape
    out = np.zeros(channels)
    for k in range(channels):
        for i in range(h):
            for j in range(w):
                out[k] += gradient[i, j, k]
        out[k] /= h * w
    return out


def heatmap(maps, weights):
    """L = sum_k a_k F_k."""
    out = np.zeros(maps.shape[:2])
    for k in range(maps.shape[2]):
        out += weights[k] * maps[:, :, k]
    return out


def elementwise(maps, gradient):
    """L = sum_k g_k * F_k, HiResCAM; gradient is (h, w, K)."""
    out = np.zeros(maps.shape[:2])
    for i in range(maps.shape[0]):
        for j in range(maps.shape[1]):
            for k in range(maps.shape[2]):
                out[i, j] += gradient[i, j, k] * maps[i, j, k]
    return out


def split(signed):
    """L+ = ReLU(L) and L- = ReLU(-L), Eq. 11."""
    positive, negative = np.zeros(signed.shape), np.zeros(signed.shape)
    for i in range(signed.shape[0]):
        for j in range(signed.shape[1]):
            if signed[i, j] > 0:
                positive[i, j] = signed[i, j]
            elif signed[i, j] < 0:
                negative[i, j] = -signed[i, j]
    return positive, negative


# --- the head ---------------------------------------------------------------------------------------------------------


@dataclass
class Oracle:
    """A head as raw arrays and estimators; the methods take the maps (h, w, K) of one image."""

    dense: list[tuple[np.ndarray, np.ndarray]]
    pca: Any = None
    svms: dict[str, Any] = field(default_factory=dict)
    at: int = 2
    activation: str = "sigmoid"
    pool: bool = False

    # forward, Eq. 1-3

    def x_0(self, maps):
        """The input of the first dense layer: flatten(F), or flatten(pool(F))."""
        return flatten(max_pool(maps) if self.pool else maps)

    def states(self, maps):
        """[(u_1, x_1), ..., (u_N, x_N)]; the last layer has no activation."""
        x, out = self.x_0(maps), []
        for n, (weight, bias) in enumerate(self.dense, start=1):
            u = np.zeros(len(bias))
            for q in range(len(bias)):
                u[q] = np.dot(weight[:, q], x) + bias[q]
            x = u if n == len(self.dense) else activate(self.activation, u)
            out.append((u, x))
        return out

    def x_m(self, maps):
        """The input of the PCA."""
        return self.states(maps)[self.at - 1][1]

    def features(self, maps):
        """v, or x_m without a PCA."""
        return self.x_m(maps) if self.pca is None else pca_values(self.pca, self.x_m(maps))

    def svc_input(self, name, v):
        """The SVC, its input, and the derivative of each input in v; scalers of a ``Pipeline`` come before the SVC."""
        scale, steps = np.ones(len(v)), [self.svms[name]]
        if hasattr(steps[0], "steps"):
            steps = [step for _, step in steps[0].steps]
        for scaler in steps[:-1]:
            v, scale = (v - scaler.mean_) / scaler.scale_, scale / scaler.scale_
        return steps[-1], v, scale

    # Jacobians, Eq. 13, 15, 17, 20-23

    def layer_jacobian(self, n, maps):
        """dx_n/dx_{n-1} = diag(f'(u_n)) W_n; for the last layer W_n."""
        u, _ = self.states(maps)[n - 1]
        w_n = self.dense[n - 1][0].T
        f_prime = np.ones(len(u)) if n == len(self.dense) else slope(self.activation, u)
        out = np.zeros(w_n.shape)
        for row in range(w_n.shape[0]):
            for column in range(w_n.shape[1]):
                out[row, column] = f_prime[row] * w_n[row, column]
        return out

    def state_jacobian(self, n, maps):
        """dx_n / d flatten(F): the product of the layers' Jacobians."""
        out = max_pool_jacobian(maps) if self.pool else np.eye(maps.size)
        for layer in range(1, n + 1):
            out = self.layer_jacobian(layer, maps) @ out
        return out

    def feature_jacobian(self, maps):
        """dv/dx_0, Eq. 13."""
        to_features = np.eye(len(self.x_m(maps))) if self.pca is None else pca_matrix(self.pca)
        return to_features @ self.state_jacobian(self.at, maps)

    def cnn_jacobian(self, maps):
        """dy/dx_0."""
        return self.state_jacobian(len(self.dense), maps)

    def mixture(self, target, maps):
        """ds/dv_r of an SVM target, with v of :meth:`features`."""
        name, c = self.resolve(target, maps)
        svc, z, scale = self.svc_input(name, self.features(maps))
        return margin_gradients(svc, z)[c] * scale

    # targets

    def names(self, targets):
        """The names of single targets; "pca" stands for all components."""
        out = []
        for target in [targets] if isinstance(targets, str) else targets:
            out += [f"pca:{r}" for r in range(len(self.pca.components_))] if target == "pca" else [target]
        return out

    def resolve(self, target, maps):
        """("pca" | "cnn" | SVM name, index of the component or class)."""
        name, _, entry = target.partition(":")
        if name == "cnn" and entry == "predicted":
            return name, int(np.argmax(self.states(maps)[-1][1]))
        if name in ("pca", "cnn"):
            return name, int(entry)
        svc, z, _ = self.svc_input(name, self.features(maps))
        return name, predicted_class(svc, z) if entry == "predicted" else [str(c) for c in svc.classes_].index(entry)

    def value(self, target, maps):
        """v_r, y_c or s_c."""
        name, index = self.resolve(target, maps)
        if name == "pca":
            return self.features(maps)[index]
        if name == "cnn":
            return self.states(maps)[-1][1][index]
        svc, z, _ = self.svc_input(name, self.features(maps))
        return margins(svc, z)[index]

    def gradient(self, target, maps):
        """d target / dF, (h, w, K)."""
        name, index = self.resolve(target, maps)
        if name == "pca":
            row = self.feature_jacobian(maps)[index]
        elif name == "cnn":
            row = self.cnn_jacobian(maps)[index]
        else:
            row = self.mixture(target, maps) @ self.feature_jacobian(maps)  # Eq. 15
        out = np.zeros(maps.shape)
        for i, j, k in np.ndindex(maps.shape):
            out[i, j, k] = row[position(i, j, k, maps.shape[1], maps.shape[2])]
        return out

    def explain(self, batch, targets, method="gradcam"):
        """``signed``, ``positive``, ``negative`` (B, T, h, w), ``values`` (B, T), ``mixture`` {SVM target: (B, D)}."""
        batch, names = np.asarray(batch, dtype=np.float64), self.names(targets)
        shape = (len(batch), len(names), *batch.shape[1:3])
        out = {part: np.zeros(shape) for part in ("signed", "positive", "negative")}
        out |= {"values": np.zeros(shape[:2]), "mixture": {}, "targets": names}
        for t, target in enumerate(names):
            for b, maps in enumerate(batch):
                gradient = self.gradient(target, maps)
                signed = elementwise(maps, gradient) if method == "hirescam" else heatmap(maps, map_weights(gradient))
                out["signed"][b, t] = signed
                out["positive"][b, t], out["negative"][b, t] = split(signed)
                out["values"][b, t] = self.value(target, maps)
            if self.pca is not None and target.partition(":")[0] in self.svms:
                out["mixture"][target] = np.array([self.mixture(target, maps) for maps in batch])
        return out
