"""The playground: the portal signs in with an application's own sandbox and shows every request and every response.

``exchange``: what is shown, as pure functions; ``trial``: one sign-in, from the authorization request on;
``logout_notice``: a logout token for the back-channel logout URI of the sandbox.
"""
