"""The main job, from fitted estimators to heatmaps, decompositions, evidence and a certificate, as bytes to compare."""

import hashlib
import os
import tempfile
import warnings

import numpy as np
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

import pcacam_jax

COUNT, SHAPE = 30, (3, 3, 4)


def parts():
    """Return dense layers, estimators and maps, in float32."""
    random = np.random.default_rng(0)
    maps = random.random((COUNT, *SHAPE), np.float32)
    dense = [(random.normal(size=size).astype(np.float32), np.zeros(size[1], np.float32)) for size in ((36, 6), (6, 3))]
    x = np.maximum(maps.reshape(COUNT, -1) @ dense[0][0], 0)
    labels = np.arange(COUNT) % 3
    maps[np.arange(COUNT), labels] += 1
    # As a user's fit with scikit-learn's default settings, whatever they are now.
    pca = PCA(3, svd_solver="full").fit(x)
    v = np.asarray((x - pca.mean_) @ pca.components_.T)
    svms = {
        "svm": SVC(gamma=0.1).fit(v, labels),
        "scaled": make_pipeline(StandardScaler(), SVC(kernel="linear")).fit(v, labels),
        "lr": LogisticRegression().fit(v, labels),
    }
    return dense, pca, svms, maps


def results():
    """Yield (name, array) of everything that the job computes."""
    dense, pca, svms, maps = parts()
    head = pcacam_jax.hybrid_head(dense, maps_shape=SHAPE, pca=pca, svms=svms, at=1)
    hidden = np.maximum(maps.reshape(COUNT, -1) @ dense[0][0], 0)
    expected = {"cnn": hidden @ dense[1][0], "pca": (hidden - pca.mean_) @ pca.components_.T}
    errors = pcacam_jax.check_outputs(head, maps, expected)
    yield "errors below the tolerance", np.array([error < 1e-3 for error in errors.values()])
    explanation = pcacam_jax.explain(head, maps, ["pca", "cnn", "svm:predicted", "scaled:1", "lr:predicted"])
    for name in ("signed", "values", "columns", "vanished"):
        yield f"explain {name}", np.asarray(getattr(explanation, name))
    parts_of_svm = pcacam_jax.decompose(head, maps, "svm:predicted")
    yield "decompose", np.asarray(parts_of_svm.maps)
    yield "decompose shares", np.asarray(parts_of_svm.shares)
    terms = pcacam_jax.evidence(head, maps, "svm:predicted", count=3)
    yield "evidence", np.asarray(terms.maps)
    yield "evidence indices", np.asarray(terms.indices)
    yield "scale-free", np.asarray(pcacam_jax.explain(head, maps, "svm:0", scale_free=True).signed)
    yield "certificate", np.array(pcacam_jax.verify(head, maps[0]).passed)
    with tempfile.TemporaryDirectory() as folder:
        pcacam_jax.save(os.path.join(folder, "head.safetensors"), head)
        again = pcacam_jax.restore(os.path.join(folder, "head.safetensors"))
    yield "restored", np.asarray(pcacam_jax.explain(again, maps[:2], "pca").signed)


def digests():
    """Return the digest of each array, of its bytes and its dtype."""
    return {
        name: hashlib.sha256(repr(array.dtype).encode() + np.ascontiguousarray(array).tobytes()).hexdigest()[:16]
        for name, array in results()
    }


if __name__ == "__main__":
    import json

    warnings.simplefilter("error")
    print(json.dumps(digests()))
