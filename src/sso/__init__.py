"""A city's single sign-on: an OpenID Connect provider.

The rooms of this package and the one way in which they may import each other are described in
docs/architecture.md and checked by import-linter.
"""

__version__ = "0.1.0"
