"""The device authorization grant (RFC 8628): endpoint and decision."""
