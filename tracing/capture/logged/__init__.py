"""What LiveKit says of a call in its log only."""
