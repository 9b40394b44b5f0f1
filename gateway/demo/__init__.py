"""Two small APIs to put the gateway in front of, and requests that show what it does."""
