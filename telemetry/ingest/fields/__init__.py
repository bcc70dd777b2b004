"""The fields of a reading that do not count as they were sent: by other names, in other units, out of range."""
