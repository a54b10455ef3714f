"""What gets traced: the package's own small coordinator."""
