"""The project's figures, each as a ratio to a peer that is measured beside it in the same run."""
