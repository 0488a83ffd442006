"""Tools of security that know no domain: sealing at rest, random tokens and their hashes, form tokens,
rate limits, replay memory and requests to addresses that others chose.
"""
