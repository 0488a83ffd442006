"""What was granted: consents, authorization codes, refresh families, opaque access tokens.

The form of tokens and answers is the protocol's business (``oidc``), not known here.
"""
