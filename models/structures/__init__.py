"""Text of any dialect to checked structures."""
