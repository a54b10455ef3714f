"""What people and programs see: command line, terminal drawings. Views format; they never compute."""
