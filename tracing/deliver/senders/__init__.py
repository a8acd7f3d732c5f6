"""One module per way in which a backend takes spans, and what they share."""
