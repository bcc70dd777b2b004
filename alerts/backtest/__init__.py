"""What another plan would have found in stored readings."""
