# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # The paper, reproduced
#
# `pcacam reproduce` fits every dataset with several seeds, measures each claim of the paper on what came out, and
# writes one page. This notebook reads such a folder and shows its tables and figures. The environment variable
# `PCACAM_REPRODUCTION` says which folder; without it the notebook makes a small one of its own, from the sample of
# Fashion-MNIST that comes with the package, with two seeds. That takes a few minutes the first time.

# %%
# %matplotlib inline
import os
import tempfile
from pathlib import Path

from IPython.display import Markdown, display

from pcacam_jax.core.files import read_json
from pcacam_jax.core.progress import Progress
from pcacam_jax.reproduce.claims import find_claims
from pcacam_jax.reproduce.gather import Order
from pcacam_jax.reproduce.outcome import read_outcomes
from pcacam_jax.reproduce.page import escape, markdown
from pcacam_jax.reproduce.reproduce import reproduce

folder = os.environ.get("PCACAM_REPRODUCTION")
if folder is None:
    temporary = tempfile.TemporaryDirectory()
    folder = temporary.name
    order = Order(out=Path(folder), scale="embedded", seeds=(0, 1))
    page, _ = reproduce(["table3"], order, Progress(quiet=True))
else:
    page = read_json(Path(folder) / "reproduction.json")
outcomes = read_outcomes(Path(folder))
print(page["command"])
for outcome in outcomes.values():
    images = outcome.record["images"]
    print(f"{outcome.title}: {images['train']:,} + {images['test']:,} images, seeds {outcome.seeds}")
for name, why in page["missing"].items():
    print(f"without {name}: {why}")

# %% [markdown]
# A claim is a file of the folder `experiments`. It measures the outcomes, finds tables and sentences, and draws.


# %%
def show(name):
    """Show what a claim says, what was found, and its figures."""
    (claim,) = find_claims([name])
    display(Markdown(f"*The paper, {claim.paper}:* {claim.statement}"))
    own = claim.of(outcomes)
    if claim.sets and not own:
        display(Markdown("None of its sets is at hand in this folder."))
        return
    finding = claim.measure(own)
    for table in finding.tables:
        display(Markdown(f"{table.title}\n\n{markdown(table)}"))
    display(Markdown("\n".join(f"- {escape(sentence)}" for sentence in (*finding.gaps, *finding.verdicts))))
    for figure in claim.draw(own).values():
        figure.set_dpi(min(figure.dpi, 900 / figure.get_figwidth()))
        display(figure)


# %% [markdown]
# ## Table 2: the closed forms
#
# This one needs no data: every closed form against autodiff and central differences, in about fifteen seconds.

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
# ## Figures 6 and 7: what the components hold

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
# ## What the maps say
#
# The paper compares maps by eye. Here each remark is a number, over many images and all seeds. The cards show, for
# every component, the training images at both of its ends.

# %%
show("maps")

# %% [markdown]
# ## Figure 4: which support vectors count
#
# And beside it what the paper leaves open: with the same gamma everything hangs on the scale of the features.

# %%
show("figure4")

# %%
show("gamma_trap")
