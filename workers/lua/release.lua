#!lua flags=allow-oom
-- ARGV: id, attempt, who claimed. A worker that is told to stop gives the job back; this costs the job none of its lives.
local id, t = ARGV[1], now()
local key = record(id)
local status = status_for(id, ARGV[2], ARGV[3])
if status == 'cancelling' then
  cancel_idle(id, t)
  return 1
end
if status ~= 'running' then return 0 end
redis.call('ZREM', 'mp:leases', id)
redis.call('HSET', key, 'status', 'queued', 'tries', '0')
redis.call('HDEL', key, 'worker')
redis.call('ZADD', due_of(redis.call('HGET', key, 'kind')), ms(t), id)
status_event(id, 'queued', ARGV[2])
wake(id, t)
return 1
