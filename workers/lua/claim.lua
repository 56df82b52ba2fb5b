-- ARGV: id, who claims (a name made for this claim), lease (ms).
local id, t = ARGV[1], now()
local key = record(id)
local status, worker = unpack(redis.call('HMGET', key, 'status', 'worker'))
-- The same claim again: its first answer was lost on the way.
if status == 'running' and worker == ARGV[2] then return redis.call('HGETALL', key) end
if status ~= 'queued' then return nil end
unlist(id)
local attempt = redis.call('HINCRBY', key, 'attempt', 1)
redis.call('HSET', key, 'status', 'running', 'worker', ARGV[2], 'started', ms(t), 'done', '0', 'failed', '0')
redis.call('ZADD', 'mp:leases', ms(t + tonumber(ARGV[3])), id)
status_event(id, 'running', attempt)
return redis.call('HGETALL', key)
