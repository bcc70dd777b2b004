"""Pure: the rules, one file for each kind of alert; none imports another."""
