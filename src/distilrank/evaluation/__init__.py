"""Re-ranking, measuring and comparing: what shows how much of a teacher a student has kept. Needs no torch."""
