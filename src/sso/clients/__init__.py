"""Registered applications: what may be registered, their secrets, the registry in memory, catalogues in YAML.

How an application authenticates itself at the token endpoint is the protocol's business (``oidc``), not known here.
"""
