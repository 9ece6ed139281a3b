"""From torch to the formats that other runtimes load."""
