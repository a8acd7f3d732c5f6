"""What is said of a call in the log: recorded as its lines, and what LiveKit tells only there."""
