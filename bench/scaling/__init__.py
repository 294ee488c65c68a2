"""The figures behind docs/scaling.md."""
