"""CAM methods as NumPy loops over targets, positions and maps, written from the formulas of their papers.

They share no code with the library. ``A`` are the maps (*space, K) of one example, ``g`` the gradient of one target, of
the same shape, and ``y`` a function from maps to the value of the target. Every function returns L before any ReLU.
"""

import itertools
import math

import numpy as np


def positions(A):
    """All positions of the maps, in row-major order."""
    return list(np.ndindex(A.shape[:-1]))


def relu(x):
    return x if x > 0 else 0.0


def weighted(a, A):
    out = np.zeros(A.shape[:-1])
    for p in positions(A):
        for k in range(A.shape[-1]):
            out[p] += a[k] * A[(*p, k)]
    return out


def grad_cam(g, A):
    n = len(positions(A))
    return weighted([sum(g[(*p, k)] for p in positions(A)) / n for k in range(A.shape[-1])], A)


def cam(g, A):
    """For a head that begins with a global average: the derivative in a mean is the sum of the cells' derivatives."""
    return weighted([sum(g[(*p, k)] for p in positions(A)) for k in range(A.shape[-1])], A)


def xgrad_cam(g, A):
    a = []
    for k in range(A.shape[-1]):
        total = sum(A[(*p, k)] for p in positions(A))
        a.append(sum(g[(*p, k)] * A[(*p, k)] for p in positions(A)) / total if total else 0.0)
    return weighted(a, A)


def hires_cam(g, A):
    out = np.zeros(A.shape[:-1])
    for p in positions(A):
        out[p] = sum(g[(*p, k)] * A[(*p, k)] for k in range(A.shape[-1]))
    return out


def layer_cam(g, A):
    out = np.zeros(A.shape[:-1])
    for p in positions(A):
        out[p] = sum(relu(g[(*p, k)]) * A[(*p, k)] for k in range(A.shape[-1]))
    return out


def grad_cam_plus_plus(g, A, scale=1.0):
    a = []
    for k in range(A.shape[-1]):
        total, weight = sum(A[(*p, k)] for p in positions(A)), 0.0
        for p in positions(A):
            slope = g[(*p, k)] / scale
            if slope != 0 and abs(2 + total * slope) >= 1e-6:
                weight += slope**2 / (2 * slope**2 + total * slope**3) * relu(slope)
        a.append(scale * weight)
    return weighted(a, A)


def grad_cam_plus_plus_authors(g, A):
    a = []
    for k in range(A.shape[-1]):
        total = sum(A[(*p, k)] for p in positions(A))
        alphas = {}
        for p in positions(A):
            below = 2 * g[(*p, k)] ** 2 + total * g[(*p, k)] ** 3
            alphas[p] = g[(*p, k)] ** 2 / (below if below != 0 else 1.0)
        norm = sum(alphas[p] for p in positions(A) if g[(*p, k)] > 0)
        a.append(sum(alphas[p] * relu(g[(*p, k)]) for p in positions(A)) / (norm if norm != 0 else 1.0))
    return weighted(a, A)


def grad_cam_plus_plus_exact(g, A, y2, y3):
    """With the second and third derivative of y in every cell; returns L and the share of fallback cells."""
    a, fallback, n = [], 0, len(positions(A))
    for k in range(A.shape[-1]):
        total, weight = sum(A[(*p, k)] for p in positions(A)), 0.0
        for p in positions(A):
            first, second = 2 * y2[(*p, k)], total * y3[(*p, k)]
            if abs(first + second) <= 1e-6 * (abs(first) + abs(second)):
                alpha, fallback = 1 / n, fallback + 1
            else:
                alpha = y2[(*p, k)] / (first + second)
            weight += alpha * relu(g[(*p, k)])
        a.append(weight)
    return weighted(a, A), fallback / A.size


def ablation_cam(y, A):
    a = []
    for k in range(A.shape[-1]):
        without = A.copy()
        without[..., k] = 0
        a.append(y(A) - y(without))
    return weighted(a, A)


def shapley_cam(g, A, product):
    """``product`` is the Hessian of y times A."""
    n = len(positions(A))
    a = [sum(g[(*p, k)] - product[(*p, k)] / 2 for p in positions(A)) / n for k in range(A.shape[-1])]
    return weighted(a, A)


def shapley_values(y, A, players):
    """The exact Shapley values of ``players`` (indices into A) by all coalitions, absent players being zero."""
    n = len(players)

    def value(coalition):
        kept = np.zeros_like(A)
        for player in coalition:
            kept[players[player]] = A[players[player]]
        return y(kept)

    values = {c: value(c) for size in range(n + 1) for c in itertools.combinations(range(n), size)}
    phi = np.zeros(n)
    for i in range(n):
        for coalition, base in values.items():
            if i not in coalition:
                weight = math.factorial(len(coalition)) * math.factorial(n - len(coalition) - 1) / math.factorial(n)
                phi[i] += weight * (values[tuple(sorted((*coalition, i)))] - base)
    return phi


def shap_cam(phi, A):
    """From the Shapley values of the positions, in their order."""
    a = []
    for k in range(A.shape[-1]):
        total = sum(A[(*p, k)] for p in positions(A))
        a.append(sum(phi[i] * A[(*p, k)] for i, p in enumerate(positions(A))) / total if total else 0.0)
    return weighted(a, A)


def first_projection(matrix):
    """The projection of a matrix on its first right singular vector, by NumPy's singular value decomposition."""
    _, _, right = np.linalg.svd(matrix, full_matrices=False)
    return matrix @ right[0]


def eigen_cam(A):
    projected = first_projection(A.reshape(-1, A.shape[-1])).reshape(A.shape[:-1])
    return projected if (projected * A.sum(axis=-1)).sum() >= 0 else -projected


def eigen_grad_cam(g, A):
    return eigen_cam(g * A)
