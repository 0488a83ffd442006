"""The token endpoint and tokens in use: client authentication, issue, introspection, revocation, bearer tokens."""
