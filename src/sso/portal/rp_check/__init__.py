"""The relying-party check: a provider that answers wrongly on purpose, and the runner that judges an application."""
