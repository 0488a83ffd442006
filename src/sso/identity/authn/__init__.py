"""Proving who somebody is: passwords now. Each way yields what the protocol calls ``acr`` and ``amr``.

What a proof opens (a session) is not known here.
"""
