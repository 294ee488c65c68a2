"""What clients asked before there was `/sync`; deprecated, and served all the same."""
