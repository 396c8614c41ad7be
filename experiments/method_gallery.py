"""Question: what do the maps of all CAM methods look like on one photograph, and what does each of them answer?

Command: python experiments/method_gallery.py RUN IMAGE --out methods.png [--targets pca:1 svm_rbf:predicted]
Answer:  the picture in docs/reference/cam_methods.md, of a run on dog_cat (224 pixels, tap block5_conv3) and of
         `chelsea` of scikit-image's `data` (CC0, Stefan van der Walt). Two minutes on a busy 2-core machine.

Methods that are not defined for the targets are left out, and named. "scorecam" masks the image with the 32 maps of
largest range. The picture has 200 colours, so that its file is small.
"""

import argparse
import io
from pathlib import Path

import numpy as np
from PIL import Image

import pcacam_jax
from pcacam_jax import cam_method
from pcacam_jax.cam.methods import METHODS
from pcacam_jax.data.pictures import load_picture
from pcacam_jax.reports.method_figure import defined_methods, method_figure

COLOURS, DPI = 200, 96


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="a run folder")
    parser.add_argument("image", type=Path, help="an image file")
    parser.add_argument("--out", type=Path, required=True, help="the PNG file to write")
    parser.add_argument("--targets", nargs="+", default=["pca:1", "svm_rbf:predicted"])
    options = parser.parse_args()
    run = pcacam_jax.load(options.run)
    names = defined_methods(run.head, options.targets)
    print("not defined for these targets:", ", ".join(name for name in METHODS if name not in names) or "none")
    explanations = []
    for name in [*names, "smooth(hirescam)"]:
        method = cam_method(name, top=32) if name == "scorecam" else name
        explanations.append(run.explain([options.image], options.targets, method=method))
        print(name, "range", np.abs(np.asarray(explanations[-1].signed)).max(axis=(2, 3))[0])
    photograph = load_picture(options.image, run.config.size, smallest=run.shortest_side).drawn
    content = io.BytesIO()
    method_figure(photograph, explanations).savefig(content, format="png", dpi=DPI, bbox_inches="tight")
    picture = Image.open(content).convert("RGB").quantize(COLOURS, method=Image.Quantize.MAXCOVERAGE, kmeans=3)
    picture.save(options.out, optimize=True)
    print(f"{options.out}: {picture.width} x {picture.height} pixels, {options.out.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
