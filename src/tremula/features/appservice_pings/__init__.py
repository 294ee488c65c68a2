"""Whether this server reaches an application service (AS "Pinging")."""
