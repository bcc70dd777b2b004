"""What an excursion is: the plan, the fold over readings, the figures, the record."""
