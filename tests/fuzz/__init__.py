"""Invented projects against invented states: what the runbook says of them, and what it does."""
