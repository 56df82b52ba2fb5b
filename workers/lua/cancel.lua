#!lua flags=allow-oom
-- ARGV: id, grace (ms). Returns the status after it; nil when there is no such job.
return cancel_job(ARGV[1], tonumber(ARGV[2]), now())
