"""The pure core: records, rules and texts. Nothing here reads, writes or waits."""
