"""What stands beside the words of a call: its recording, and links to where else it is shown."""
