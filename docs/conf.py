"""How Sphinx builds the site: ``make docs``."""

import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT), str(Path(__file__).parent / "extensions")]

import rstg_pyg  # noqa: E402

project = "rstg-pyg"
version = release = rstg_pyg.__version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
    "myst_parser",
    "mathml",
    "public_names",
]
exclude_patterns = ["*/notes.md"]  # parts of generated pages
suppress_warnings = ["myst.header"]  # generated pages begin some parts at the third level

html_theme = "furo"
html_title = f"rstg-pyg {version}"
html_math_renderer = "mathml"
html_static_path = ["static"]
html_css_files = ["formulas.css"]
html_copy_source = False
html_show_copyright = False

myst_enable_extensions = ["dollarmath", "amsmath"]
myst_heading_anchors = 3
default_role = "code"  # docstrings name arguments in single backticks

autodoc_member_order = "bysource"
autodoc_inherit_docstrings = False
autodoc_default_options = {"members": True, "show-inheritance": True, "exclude-members": "extra_repr"}
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
python_maximum_signature_line_length = 100
napoleon_numpy_docstring = False
napoleon_use_ivar = True
napoleon_custom_sections = ["Shapes"]

# References to our own names must lead somewhere; those of other projects are names alone, as a build needs no network.
nitpicky = True
nitpick_ignore_regex = [(r"py:.*", r"(?!rstg_pyg\.|data\.|lightning_modules\.).*")]
