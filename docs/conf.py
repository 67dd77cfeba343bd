"""Sphinx reads this: `make docs` builds the pages, and any warning is an error."""

from importlib.metadata import version as installed_version

project = 'tom-followup'
author = 'the tom-followup authors'
copyright = '2026, the tom-followup authors. GPL-3.0-or-later'
release = installed_version('tom-followup')
version = '.'.join(release.split('.')[:2])

extensions = ['myst_parser']
source_suffix = {'.md': 'markdown'}
exclude_patterns = ['_build']
nitpicky = True

myst_enable_extensions = ['colon_fence', 'deflist']
myst_heading_anchors = 3

html_theme = 'furo'
html_static_path = ['_static']
html_css_files = ['tables.css']
html_title = f'tom-followup {release}'
html_show_sphinx = False
