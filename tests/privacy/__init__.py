"""What no file, no request and no line may hold: looked for in what real jobs leave."""
