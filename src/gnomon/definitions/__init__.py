"""What a team writes down about its features: frozen data that knows nothing of stores."""
