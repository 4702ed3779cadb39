"""Nothing lost, nothing twice: the real stages against crashes, faults, races, people and lost events."""
