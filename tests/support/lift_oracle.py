"""DeepLIFT contributions of a head by NumPy loops, from the formulas of Shrikumar et al. 2017 (rescale rule).

It shares no code with the library. A multiplier is the change of an output divided by the change of an input, both from
the reference, which is the head at maps of zeros.
"""

import math

import numpy as np
from support import oracle

SAME = 1e-7
"""Below this difference an activation's multiplier is its derivative, the limit."""


def rescale(activation, u, u_ref):
    """(f(u) - f(u_ref)) / (u - u_ref) of each unit."""
    out = np.zeros(len(u))
    after, before = oracle.activate(activation, u), oracle.activate(activation, u_ref)
    slopes = oracle.slope(activation, u)
    for q in range(len(u)):
        difference = u[q] - u_ref[q]
        out[q] = slopes[q] if abs(difference) < SAME else (after[q] - before[q]) / difference
    return out


def kernel_multipliers(svc, s, v, v_ref):
    """The multipliers of k(s, v) in each coordinate of v."""
    out = np.zeros(len(v))
    if svc.kernel == "rbf":
        # e = sum_j e_j with e_j = -gamma (s_j - v_j)^2; each e_j has one input.
        now = [-svc.gamma * (s[j] - v[j]) ** 2 for j in range(len(v))]
        then = [-svc.gamma * (s[j] - v_ref[j]) ** 2 for j in range(len(v))]
        of_exp = (math.exp(sum(now)) - math.exp(sum(then))) / (sum(now) - sum(then))
        for j in range(len(v)):
            difference = v[j] - v_ref[j]
            of_v = 2 * svc.gamma * (s[j] - v[j]) if difference == 0 else (now[j] - then[j]) / difference
            out[j] = of_exp * of_v
        return out
    functions = {
        "linear": lambda t: t,
        "poly": lambda t: (svc.gamma * t + svc.coef0) ** svc.degree,
        "sigmoid": lambda t: math.tanh(svc.gamma * t + svc.coef0),
    }
    t, t_ref = (sum(s[j] * point[j] for j in range(len(v))) for point in (v, v_ref))
    of_t = (functions[svc.kernel](t) - functions[svc.kernel](t_ref)) / (t - t_ref)
    for j in range(len(v)):
        out[j] = of_t * s[j]
    return out


def margin_multipliers(svc, label, v, v_ref):
    """The multipliers of the margin of a class: the signed sum over its pairs and their support vectors."""
    out = np.zeros(len(v))
    for i, j, terms, _ in oracle.binary_svms(svc):
        sign = (label == i) - (label == j)
        for coefficient, s in terms:
            if sign:
                out += sign * coefficient * kernel_multipliers(svc, s, v, v_ref)
    return out


def contributions(head, target, maps):
    """The contribution of every cell, (h, w, K), to a target of an :class:`oracle.Oracle`."""
    name, index = head.resolve(target, maps)
    zeros = np.zeros(maps.shape)
    states, states_ref = head.states(maps), head.states(zeros)
    if name == "cnn":
        row, layers = np.eye(len(head.dense[-1][1]))[index], len(head.dense)
    else:
        if name == "pca":
            row = np.eye(len(head.pca.components_))[index]
        else:
            svc, z, scale = head.svc_input(name, head.features(maps))
            _, z_ref, _ = head.svc_input(name, head.features(zeros))
            row = margin_multipliers(svc, index, z, z_ref) * scale
        row, layers = (row if head.pca is None else row @ oracle.pca_matrix(head.pca)), head.at
    for n in range(layers, 0, -1):
        if n < len(head.dense):
            row = row * rescale(head.activation, states[n - 1][0], states_ref[n - 1][0])
        row = head.dense[n - 1][0] @ row
    return on_maps(head, maps, row) * maps


def on_maps(head, maps, row):
    """A row on x_0 as maps, (h, w, K); behind a max-pool each entry goes to the maximum of its window."""
    out = np.zeros(maps.shape)
    if not head.pool:
        for i, j, k in np.ndindex(maps.shape):
            out[i, j, k] = row[oracle.position(i, j, k, maps.shape[1], maps.shape[2])]
        return out
    for i, j, k in np.ndindex(maps.shape[0] // 2, maps.shape[1] // 2, maps.shape[2]):
        row_entry = row[oracle.position(i, j, k, maps.shape[1] // 2, maps.shape[2])]
        out[(*oracle.pool_winner(maps, i, j, k), k)] = row_entry
    return out
