"""Shared Signals Framework: events and streams."""
