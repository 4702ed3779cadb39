"""The only modules that reach the outside world, each behind a port."""
