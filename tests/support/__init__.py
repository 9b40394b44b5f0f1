"""What the tests of the whole gateway stand on: an upstream that records, a client of raw bytes, a real process."""
