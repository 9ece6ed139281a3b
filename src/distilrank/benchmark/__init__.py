"""How fast and how large rankers are, measured side by side: every one in a process of its own, and all in turns."""
