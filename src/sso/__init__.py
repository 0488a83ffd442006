"""A city's single sign-on: an OpenID Connect provider.

The rooms of this package and the one way in which they may import each other are described in
docs/contributing/architecture.md and checked by import-linter.
"""

__version__ = "0.2.0.dev0"
"""The version of this release, and the only place where it is written: the wheel, ``sso --version``, the OpenAPI
description, the SBOM and the list of processes in the console read it. It ends in ``.dev0`` between two releases."""
