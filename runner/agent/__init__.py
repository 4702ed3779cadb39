"""The model at work: one loop, its tools, its edits and its checks."""
