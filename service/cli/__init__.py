"""The command `matprop`: each command is a call of the client."""
