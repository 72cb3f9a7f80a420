"""What `make` runs and users never import."""
