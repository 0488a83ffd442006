"""REST API v1 for administration, at /api/v1: sessions, people, applications, grants, deliveries, webhooks, audit log.

Each handler is thin: it reads, calls a rule of another room, and answers. Who may call is said where a route is made.
"""
