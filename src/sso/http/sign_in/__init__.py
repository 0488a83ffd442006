"""Pages of signing in: sign-in, second factor, consent, sign-up, recovery, devices, signing out."""
