"""Messages to people about incidents: written in plain words, sent, and tried again."""
