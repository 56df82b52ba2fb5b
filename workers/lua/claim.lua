-- ARGV: id, who claims (a name made for this claim), lease (ms).
local id, t = ARGV[1], now()
local key = record(id)
local status, worker, closing, children, kept, started, grace, kind, turn = unpack(redis.call('HMGET', key,
  'status', 'worker', 'closing', 'children', 'kept', 'started', 'grace', 'kind', 'turn'))
-- The same claim again: its first answer was lost on the way.
if (status == 'running' or status == 'cancelling') and worker == ARGV[2] then return redis.call('HGETALL', key) end
local cancelled = status == 'cancelling' and closing == '1'
if status ~= 'queued' and not cancelled then return nil end
unlist(id)
local attempt = redis.call('HINCRBY', key, 'attempt', 1)
redis.call('HSET', key, 'worker', ARGV[2], 'lease', ARGV[3], 'closing', '0')
if kind == 'screen' then children = '' end  -- it counts what its chunks have done, whoever cuts it
if kind == 'chunk' and tonumber(turn or 0) > tonumber(redis.call('GET', 'mp:turn') or 0) then
  redis.call('SET', 'mp:turn', turn)
end
if not children then redis.call('HSET', key, 'done', kept or '0', 'failed', '0') end
if not children or not started then redis.call('HSET', key, 'started', ms(t)) end
if cancelled then
  redis.call('HSET', key, 'over', ms(t + tonumber(grace or 10000)))
  last_lease(id, t)
else
  redis.call('HSET', key, 'status', 'running')
  redis.call('ZADD', 'mp:leases', ms(t + tonumber(ARGV[3])), id)
  status_event(id, 'running', attempt)
end
return redis.call('HGETALL', key)
