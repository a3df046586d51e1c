"""The ASGI application, for hosts that ask for one; serve Leadstate by WSGI where you can choose."""

import os

from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "crm.settings")
application = get_asgi_application()
