"""Use cases about applications of teams: lifecycle, teams, advice, diagnosis, relying-party check."""
