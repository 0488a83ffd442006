"""One file for each grant type. A new one is a file here and a line in ``oidc/server.py``."""
