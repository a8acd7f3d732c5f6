"""Tests: a folder for each room, the doors and the whole at the top, and what they share."""
