"""The site family: one row of values a site, in the order of the input."""
