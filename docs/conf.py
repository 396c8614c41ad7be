"""Configuration of the documentation: ``sphinx-build -W docs docs/_build/html`` builds it without a network."""

import sys
from pathlib import Path

import pcacam_jax

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

project = "pcacam_jax"
author = "The pcacam_jax developers"
copyright = "the pcacam_jax developers, MIT licence"
version = release = pcacam_jax.__version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
    "myst_nb",
    "sphinx_design",
    "mathml",
    "generated_tables",
]
exclude_patterns = ["_build", "notebooks/*.py"]
source_suffix = {".md": "myst-nb", ".rst": "restructuredtext", ".ipynb": "myst-nb"}

myst_enable_extensions = ["colon_fence", "dollarmath", "deflist", "fieldlist"]
myst_heading_anchors = 3
nb_execution_mode = "off"
"""The notebooks are executed by the tests; here their stored outputs are shown."""

html_math_renderer = "mathml"
html_theme = "pydata_sphinx_theme"
html_title = "pcacam_jax"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_show_sourcelink = False
html_sidebars = {"index": [], "start": [], "symptoms": []}
"""Pages without pages below them have no navigation of their section."""
html_theme_options = {
    "show_nav_level": 2,
    "navigation_with_keys": False,
    "show_prev_next": True,
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": ["copyright"],
    "footer_end": ["sphinx-version"],
}

autosummary_generate = True
autodoc_typehints = "none"
autodoc_member_order = "bysource"
autodoc_default_options = {"members": True}
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_rtype = False
napoleon_use_ivar = True
