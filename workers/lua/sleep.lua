-- ARGV: screening, attempt, who claimed, chunks that have to end before it is queued again, whether all is cut, why
-- no more could be cut as JSON or '', chunks that were cut or '' if that is all the same. Nobody holds it meanwhile.
local id, t = ARGV[1], now()
local key = record(id)
local status = status_for(id, ARGV[2], ARGV[3])
if status ~= 'running' and status ~= 'cancelling' then return 0 end
-- Not all that was cut is known here: this broker has lost its last second. The lease ends, and a successor goes on.
if ARGV[7] ~= '' and status == 'running' and ARGV[7] ~= (redis.call('HGET', key, 'cut') or '0') then return 0 end
redis.call('ZREM', 'mp:leases', id)
redis.call('HDEL', key, 'worker')  -- a beat on its way must not renew what nobody holds
if ARGV[5] == '1' then
  local cut, items = unpack(redis.call('HMGET', key, 'cut', 'items'))
  redis.call('HSET', key, 'cut', cut or '0', 'children', cut or '0', 'total', items or '0')
  if ARGV[6] ~= '' then redis.call('HSET', key, 'fault', ARGV[6]) end
end
if status == 'cancelling' then cancel_chunks(id, t) else sleep_until(id, ARGV[4], t) end
return 1
