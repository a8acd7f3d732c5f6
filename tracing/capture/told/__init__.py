"""What the application and the room tell of a call that goes on, and its way to the disk."""
