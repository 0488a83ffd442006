"""Use cases about accounts: sign-in, sign-up, recovery, profile, data export, notifications, and administration."""
