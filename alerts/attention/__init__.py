"""The attention loop: keeps incidents current and decides who is told, as time passes and people act."""
