"""One turn from its spans: what sort it is, what is known of it, where its time went; pure."""
