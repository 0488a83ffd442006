"""The protocol endpoints over HTTP."""
