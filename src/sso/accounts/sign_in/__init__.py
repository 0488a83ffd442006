"""Signing in, as use cases: from an identifier and a password to a session and the answer to the application.

They take values (:class:`sso.platform.visitor.Visitor` and what a form says) and return results (``results.py``) that
say what comes next. ``http/sign_in`` turns a result into a page, a redirect and cookies.
"""
