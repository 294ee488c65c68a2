"""Events that are sent at a later time, unless they are cancelled (MSC4140)."""
