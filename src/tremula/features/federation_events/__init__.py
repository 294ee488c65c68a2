"""Events and states that servers ask each other for (SS "Retrieving events")."""
