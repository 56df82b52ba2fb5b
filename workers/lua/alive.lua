#!lua flags=allow-oom
-- ARGV: queue, worker, then now and then: what it tells of itself (JSON), its clock (ms). Says that the worker
-- lives; forgets those that have long been silent.
local t = now()
redis.call('ZADD', 'mp:alive:' .. ARGV[1], ms(t), ARGV[2])
redis.call('ZREMRANGEBYSCORE', 'mp:alive:' .. ARGV[1], '-inf', ms(t - 3600000))
if ARGV[3] then
  redis.call('SET', 'mp:worker:' .. ARGV[2], ms(tonumber(ARGV[4]) - t) .. '|' .. ARGV[3], 'PX', 60000)
end
return 1
