"""Attackers against the real service, each with an honest neighbour beside it who must not notice."""
