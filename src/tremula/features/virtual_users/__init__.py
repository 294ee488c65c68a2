"""Users whom application services make (AS "Server admin style permissions")."""
