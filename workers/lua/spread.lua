-- ARGV: id, attempt, who claimed, number of children. From here on the children's ends are the parent's progress,
-- and with the last of them it is due again, to close.
local id, t = ARGV[1], now()
local key = record(id)
local status = status_for(id, ARGV[2], ARGV[3])
if status ~= 'running' and status ~= 'cancelling' then return 0 end
local children = redis.call('SMEMBERS', 'mp:children:' .. id)
-- Not all of them are known here: this broker has lost its last second. The lease ends, and a successor goes on.
if #children < tonumber(ARGV[4]) then return 0 end
redis.call('ZREM', 'mp:leases', id)
redis.call('HDEL', key, 'worker')  -- a beat on its way must not renew what nobody holds
local ended, failed = 0, 0
for _, child in ipairs(children) do
  if status == 'cancelling' then cancel_job(child, t) end
  local state = redis.call('HGET', record(child), 'status')
  if not state or ENDED[state] then  -- one that is gone was purged, after its end
    ended = ended + 1
    if state ~= 'succeeded' then failed = failed + 1 end
  end
end
redis.call('HSET', key, 'children', ARGV[4], 'total', ARGV[4], 'done', ended, 'failed', failed)
if ended >= tonumber(ARGV[4]) then close(id, t) end
return 1
