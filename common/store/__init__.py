"""The record: contracts (base.py), Postgres (postgres.py), its queries (sql/) and migrations."""
