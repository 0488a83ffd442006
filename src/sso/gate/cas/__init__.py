"""The CAS protocol 3.0, for applications that do not speak OpenID Connect (docs/decisions/0081)."""
