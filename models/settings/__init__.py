"""What can be tuned; each option is documented here, once."""
