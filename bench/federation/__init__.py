"""What federation costs, beside a Synapse: ``python -m bench federation``."""
