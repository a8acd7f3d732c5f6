"""What others than LiveKit's spans tell of a call: the application, and the telephone network."""
