"""Ending sessions: one function for whoever asks, bulk revocation, the delivery report, RP-initiated logout."""
