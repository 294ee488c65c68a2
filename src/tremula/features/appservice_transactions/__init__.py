"""What application services are told: who of them, and how (AS "Pushing events")."""
