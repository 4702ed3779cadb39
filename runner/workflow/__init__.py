"""One phase in stages: gather, think, publish; they meet in two files only."""
