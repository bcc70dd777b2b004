"""What time and what people did mean for open alerts: incidents, reminders, who is told next."""
