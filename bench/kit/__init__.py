"""What the benches share: figures, processes, rounds, pictures, recipes, a small API server."""
