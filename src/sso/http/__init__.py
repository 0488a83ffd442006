"""HTTP: protocol endpoints and pages, thin over the rooms below.

Here and in ``app`` only is FastAPI known; templates, message catalogues and static files live here too. No rule of
the protocol and no SQL statement does.
"""
