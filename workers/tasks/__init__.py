"""What the queues carry, one thin file a task: state, call, state."""
