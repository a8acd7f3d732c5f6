"""What a span's neighbours tell of it: names, stamps and spans in, stamps out; pure."""
