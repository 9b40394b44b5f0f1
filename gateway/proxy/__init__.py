"""Carries one request: the handler, and what it reads, writes and asks."""
