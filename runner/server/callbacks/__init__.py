"""Callbacks: the job document, posted to whoever asked for it, until it is accepted or there is no hope."""
