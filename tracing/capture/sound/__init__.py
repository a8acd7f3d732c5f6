"""The sound of a session: its recording kept, and left to be measured; or listened to."""
