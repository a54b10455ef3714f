"""What gets traced: the package's own small coordinator; and what real MassGen leaves behind."""
