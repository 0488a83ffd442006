"""Use cases about the installation: what is ready and what is not, and the link for the first administrator."""
