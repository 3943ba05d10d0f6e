"""What outlives Redis, in SQLite or PostgreSQL. SQLModel and SQLAlchemy are used here and in `models/` only."""
