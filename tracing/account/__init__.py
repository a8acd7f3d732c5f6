"""What the spans of a call tell of each other: spans in, stamps out; pure."""
