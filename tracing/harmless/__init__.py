"""What stays where content is withheld: the names that are known to be harmless, and their use."""
