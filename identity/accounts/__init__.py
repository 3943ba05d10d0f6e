"""People: their names, their passwords, and the one way in that every login takes."""
