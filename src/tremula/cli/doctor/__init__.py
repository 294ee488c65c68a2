"""``tremula doctor``: what keeps others from reaching the server, in plain words."""
