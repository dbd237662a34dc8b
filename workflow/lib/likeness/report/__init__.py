"""What a reader is told of the data and the results."""
