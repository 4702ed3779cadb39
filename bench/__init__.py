"""Measurements of the engine against the bare SDKs, on loopback and with a model that takes no time."""
