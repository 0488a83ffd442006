"""A Django application with django-allauth's OpenID Connect provider, in one file.

Usage: ``python allauth_app.py`` with OIDC_ISSUER, OIDC_CLIENT_ID, OIDC_CLIENT_SECRET, PORT, and APP_SETTINGS: the JSON
of the ``settings`` of the SocialApp. ``/`` answers with what the application knows of the user, as JSON.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import django
from django.conf import settings
from django.core.management import call_command
from django.core.wsgi import get_wsgi_application

HERE = Path(os.environ["APP_DIRECTORY"])
settings.configure(
    DEBUG=True,
    SECRET_KEY="for this test only",
    ALLOWED_HOSTS=["localhost"],
    ROOT_URLCONF="__main__",
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": HERE / "allauth.db"}},
    INSTALLED_APPS=[
        "django.contrib.auth",
        "django.contrib.contenttypes",
        "django.contrib.sessions",
        "django.contrib.messages",
        "allauth",
        "allauth.account",
        "allauth.socialaccount",
        "allauth.socialaccount.providers.openid_connect",
    ],
    MIDDLEWARE=[
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.middleware.csrf.CsrfViewMiddleware",
        "django.contrib.auth.middleware.AuthenticationMiddleware",
        "django.contrib.messages.middleware.MessageMiddleware",
        "allauth.account.middleware.AccountMiddleware",
    ],
    TEMPLATES=[
        {
            "BACKEND": "django.template.backends.django.DjangoTemplates",
            "APP_DIRS": True,
            "OPTIONS": {
                "context_processors": [
                    "django.template.context_processors.request",
                    "django.contrib.auth.context_processors.auth",
                    "django.contrib.messages.context_processors.messages",
                ]
            },
        }
    ],
    AUTHENTICATION_BACKENDS=["allauth.account.auth_backends.AuthenticationBackend"],
    LOGIN_REDIRECT_URL="/",
    ACCOUNT_EMAIL_VERIFICATION="none",
    SOCIALACCOUNT_LOGIN_ON_GET=True,
    SOCIALACCOUNT_AUTO_SIGNUP=True,
    SOCIALACCOUNT_PROVIDERS={
        "openid_connect": {
            "OAUTH_PKCE_ENABLED": os.environ.get("PKCE", "1") == "1",
            "APPS": [
                {
                    "provider_id": "kota",
                    "name": "Kota",
                    "client_id": os.environ["OIDC_CLIENT_ID"],
                    "secret": os.environ["OIDC_CLIENT_SECRET"],
                    "settings": {"server_url": os.environ["OIDC_ISSUER"], **json.loads(os.environ["APP_SETTINGS"])},
                }
            ],
        }
    },
)
django.setup()

from django.http import HttpRequest, JsonResponse  # noqa: E402  Django must be set up first
from django.urls import include, path  # noqa: E402


def home(request: HttpRequest) -> JsonResponse:
    """Answer with the claims that django-allauth stored for the signed-in user."""
    from allauth.socialaccount.models import SocialAccount

    account = SocialAccount.objects.filter(user_id=request.user.pk).first()
    return JsonResponse(account.extra_data if account else {})


urlpatterns = [path("", home), path("accounts/", include("allauth.urls"))]
application = get_wsgi_application()

if __name__ == "__main__":
    from wsgiref.simple_server import make_server

    call_command("migrate", verbosity=0)
    make_server("127.0.0.1", int(os.environ["PORT"]), application).serve_forever()
