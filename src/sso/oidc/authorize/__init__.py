"""The authorization endpoint: request, decision, stored request, request objects, PAR, response."""
