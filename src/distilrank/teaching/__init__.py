"""Producing teacher scores."""
