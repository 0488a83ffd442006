"""The protocol: Authlib's server and grants, what a request needs next, claims, tokens, discovery, ending sessions.

Knows HTTP only as methods, parameters, headers and answers: no FastAPI, no templates. Pages and routes are in ``web``.
"""
