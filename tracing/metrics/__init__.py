"""Metrics over OTLP, loaded only where they are on."""
