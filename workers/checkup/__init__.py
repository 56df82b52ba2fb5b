"""What `matprop doctor` looks at: each check tells what it found, and how to mend it."""
