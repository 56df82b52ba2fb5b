"""When and where: the queue, the processes, a job's life."""
