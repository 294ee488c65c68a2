"""The way out: HTTP requests to other servers, and what they may cost and reach."""
