"""Keeps the process: listens, reloads, drains, and answers on the admin port."""
