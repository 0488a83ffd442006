"""People: what they sign in with, their profile and roles, import.

How they prove who they are is not known here (``authn``), nor what an application may learn of them (``oidc``).
"""
