"""Security tools that know no domain: encryption at rest, random tokens and their hashes, JWE, rate limits, replay
protection, idempotency keys, and requests to URLs that others chose.
"""
