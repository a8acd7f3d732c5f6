"""What the caller heard: sound against the account, from a recording or while it passes."""
