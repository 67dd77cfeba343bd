"""WSGI entry point of this TOM."""

import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault('DJANGO_SETTINGS_MODULE', 'mytom.settings')

application = get_wsgi_application()
