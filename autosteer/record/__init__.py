"""One directory a run: its files, the replay of its log, and its report."""
