"""Pages of the signed-in person: home, applications, profile, security, sessions."""
