"""Webhooks of applications: servers of a team that receive the events of its application.

``events``: which audit events teams receive, and with what content; ``service``: add, remove, rotate, test;
``sending``: the handler of the outbox.
"""
