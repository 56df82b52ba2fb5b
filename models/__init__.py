"""Bytes to numbers, and how to learn them; knows no job, no queue, no network, no environment."""
