"""For applications that do not speak OpenID Connect: forward authentication, where proxies ask for each request
whether it may pass (docs/decisions/0080), and the CAS protocol (``cas``).

``decision``: what is decided without I/O; ``store``: every SQL statement; ``check``: the answer to a proxy;
``sign_in``: the way to a cookie; ``proxies``: configurations of proxies.
"""
