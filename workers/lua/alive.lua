#!lua flags=allow-oom
-- ARGV: queue, worker. Says that the worker lives; forgets those that have long been silent.
local t = now()
redis.call('ZADD', 'mp:alive:' .. ARGV[1], ms(t), ARGV[2])
redis.call('ZREMRANGEBYSCORE', 'mp:alive:' .. ARGV[1], '-inf', ms(t - 3600000))
return 1
