"""What a person reads is true: the settings reference, commands, links, examples, paths."""
