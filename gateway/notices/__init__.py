"""Telling people what a change does to their mail: who is told, what, when, and how it reaches the mail server."""
