"""Pure: one rule per file, one file per kind of alert; no kind imports another."""
