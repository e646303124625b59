"""What a job is here: its record, the states it goes through, the document clients read, and its limits."""
