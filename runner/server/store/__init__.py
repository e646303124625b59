"""Where jobs lie: one SQLite file for what is known, one folder for the files."""
