"""What people are told of incidents, in plain words, and sent until it got through or cannot."""
