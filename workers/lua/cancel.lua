#!lua flags=allow-oom
-- ARGV: id. Returns the status after it; nil when there is no such job.
return cancel_job(ARGV[1], now())
