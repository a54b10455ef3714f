"""What is sent here: OTLP of any SDK, on the disk before it is answered, and then recordings in the root."""
