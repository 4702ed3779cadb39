"""The rules of the till, one test each."""
