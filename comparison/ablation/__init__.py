"""What each choice in a controller's training is worth: one factor at a time, from a default."""
