# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Reproduction of the paper
#
# `pcacam reproduce` fits every dataset with several seeds, measures each claim of the paper on the results, and writes
# one page. This notebook reads the folder of such a reproduction and shows its tables and figures. The environment
# variable `PCACAM_REPRODUCTION` names the folder. If it is not set, the notebook runs a small reproduction on the
# sample of Fashion-MNIST that is included in the package, with two seeds. This takes a few minutes the first time.

# %%
# %matplotlib inline
import os
import tempfile
from pathlib import Path

from IPython.display import Markdown, display

from pcacam_jax.core.files import read_json
from pcacam_jax.core.progress import Progress
from pcacam_jax.reproduce.claims import find_claims
from pcacam_jax.reproduce.gather import ReproductionRequest
from pcacam_jax.reproduce.outcome import read_outcomes
from pcacam_jax.reproduce.page import escape, markdown
from pcacam_jax.reproduce.reproduce import reproduce

folder = os.environ.get("PCACAM_REPRODUCTION")
if folder is None:
    temporary = tempfile.TemporaryDirectory()
    folder = temporary.name
    request = ReproductionRequest(out=Path(folder), scale="embedded", seeds=(0, 1))
    page, _ = reproduce(["table3"], request, Progress(quiet=True))
else:
    page = read_json(Path(folder) / "reproduction.json")
outcomes = read_outcomes(Path(folder))
print(page["command"])
for outcome in outcomes.values():
    images = outcome.record["images"]
    print(f"{outcome.title}: {images['train']:,} + {images['test']:,} images, seeds {outcome.seeds}")
for name, reason in page["missing"].items():
    print(f"{name} is not available: {reason}")

# %% [markdown]
# Each claim is a module of the package `pcacam_jax.reproduce.claims`. It computes tables, sentences and figures from
# the measured outcomes of the datasets.


# %%
def show(name):
    """Show the paper's statement, the measured tables and sentences, and the figures of a claim."""
    (claim,) = find_claims([name])
    display(Markdown(f"*The paper, {claim.paper}:* {claim.statement}"))
    selected = claim.select(outcomes)
    if claim.sets and not selected:
        display(Markdown("This folder contains no dataset of this claim."))
        return
    finding = claim.measure(selected)
    for table in finding.tables:
        display(Markdown(f"{table.title}\n\n{markdown(table)}"))
    display(Markdown("\n".join(f"- {escape(sentence)}" for sentence in (*finding.gaps, *finding.verdicts))))
    for figure in claim.draw(selected).values():
        figure.set_dpi(min(figure.dpi, 900 / figure.get_figwidth()))
        display(figure)


# %% [markdown]
# ## Table 2: the closed forms
#
# This claim needs no data. Every closed form is compared with autodiff and central differences, which takes a few
# seconds.

# %%
show("table2")

# %% [markdown]
# ## Table 3: how well the models classify

# %%
show("table3")

# %% [markdown]
# ## Figure 5: training

# %%
show("figure5")

# %% [markdown]
# ## Figures 6 and 7: variance and classes in the components

# %%
show("figure6")

# %%
show("figure7")

# %% [markdown]
# ## Figures 2, 8 and 9: where the network looked

# %%
show("figure2")

# %%
show("figure8")

# %%
show("figure9")

# %% [markdown]
# ## Section 6.2.2: maps and the components that decide
#
# The paper compares maps by eye. Here each of its remarks is measured as a number over many images and all seeds. The
# cards show the training images at both ends of each component.

# %%
show("maps")

# %% [markdown]
# ## Figure 4: which support vectors matter
#
# The second part measures what the paper leaves open: with a fixed gamma, the scores of the RBF SVM depend on the scale
# of the features.

# %%
show("figure4")

# %%
show("gamma_trap")
