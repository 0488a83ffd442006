"""Single sign-on sessions and the applications that take part in them: start, find, touch, end.

What ending a session means for tokens and applications is decided in ``oidc`` (see ``logout/end_sessions.py``).
"""
