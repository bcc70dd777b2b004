"""How work is queued, claimed, paced and woken, whatever the work is."""
