"""The rules beside the excursion itself, one file each."""
