"""The toolkit's templates, with the one script that it loads from a content delivery network taken from a Python package."""

from __future__ import annotations

import re

from django.template.loaders.app_directories import Loader
from django.templatetags.static import static

ALPINE = re.compile(r'https://cdn\.jsdelivr\.net/npm/alpinejs@[^"]+')


class LocalAlpineLoader(Loader):
    """Django's loader of the apps' templates; pages then need no internet."""

    def get_contents(self, origin: object) -> str:
        """The template's text, with Alpine from this server."""
        return ALPINE.sub(static('alpine/alpine.min.js'), super().get_contents(origin))
