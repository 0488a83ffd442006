"""django-allauth's OpenID Connect provider signs in, with PKCE switched on and either client authentication."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from tests.interop.conftest import Server, signed_in
from tests.interop.heavy.conftest import HERE, python, serving

pytestmark = [pytest.mark.interop]


@pytest.mark.parametrize(
    ("client_id", "setting"),
    [("allauth", {}), ("allauth-basic", {"token_auth_method": "client_secret_basic"})],
    ids=["client_secret_post", "client_secret_basic"],
)
def test_django_allauth_signs_in(server: Server, client_id: str, setting: dict[str, str], tmp_path: Path) -> None:
    port = server.ports["allauth"]
    environment = {
        **os.environ,
        "APP_DIRECTORY": str(tmp_path),
        "APP_SETTINGS": json.dumps({"oauth_pkce_enabled": True, **setting}),
        "OIDC_ISSUER": server.issuer,
        "OIDC_CLIENT_ID": client_id,
        "OIDC_CLIENT_SECRET": server.secrets[client_id],
        "PORT": str(port),
    }
    with serving([python(), str(HERE / "python/allauth_app.py")], environment, port, tmp_path / "log"):
        page = signed_in(server, f"http://localhost:{port}/accounts/oidc/kota/login/")
        assert page.status_code == 200, (tmp_path / "log").read_text()
    known = page.json()
    assert known["userinfo"]["name"] == "Siti Rahmawati"
    assert known["id_token"]["sub"] == known["userinfo"]["sub"]
