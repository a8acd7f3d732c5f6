"""What LiveKit says: its spans and events, and what a call and its turns know."""
