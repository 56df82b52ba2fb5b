-- ARGV: ended job, id of the new one, most queued jobs, delay until published again (ms).
-- End states never change: a retry is a new job with the old one's order.
local id, new, t = ARGV[1], ARGV[2], now()
local status, failed, ttl = unpack(redis.call('HMGET', record(id), 'status', 'failed', 'ttl'))
if not status then return 'missing' end
if redis.call('EXISTS', record(new)) == 1 then return 'accepted' end
if not ENDED[status] or (status == 'succeeded' and tonumber(failed) == 0) then return 'unfit' end
local earlier = redis.call('HGET', record(id), 'retried_by')
local stands = earlier and redis.call('HGET', record(earlier), 'status')
if stands and not ENDED[stands] then return 'again' end
if redis.call('EXISTS', 'mp:full') == 1 then return 'full' end
if redis.call('ZCARD', 'mp:due') >= tonumber(ARGV[3]) then return 'full' end
local fields = { 'status', 'queued', 'attempt', '0', 'lost', '0', 'tries', '0',
  'done', '0', 'failed', '0', 'created', ms(t), 'retry_of', id }
for _, name in ipairs({ 'kind', 'owner', 'label', 'request', 'trace', 'order', 'models', 'uses', 'total', 'sent', 'direct', 'ttl', 'grace' }) do
  local value = redis.call('HGET', record(id), name)
  if value then
    fields[#fields + 1] = name
    fields[#fields + 1] = value
  end
end
redis.call('HSET', record(new), unpack(fields))
-- Of a screening, less is done again; what is in archives is counted anew.
local kind, sent = unpack(redis.call('HMGET', record(new), 'kind', 'sent'))
if kind == 'screen' or sent then redis.call('HSET', record(new), 'total', kind == 'screen' and '0' or sent) end
redis.call('HSET', record(id), 'retried_by', new)
use(new, 'SADD')
-- What the ended one has left is taken over by the new one, which may have to wait for long.
redis.call('EXPIRE', record(id), tonumber(ttl) + 3600)
redis.call('ZADD', 'mp:ended', 'XX', ms(t + tonumber(ttl) * 1000), id)
redis.call('ZADD', 'mp:due', ms(t), new)
redis.call('ZADD', 'mp:jobs', 0, new)
redis.call('ZADD', 'mp:jobs:' .. redis.call('HGET', record(id), 'owner'), 0, new)
status_event(new, 'queued', 0)
count('jobs_submitted:' .. redis.call('HGET', record(new), 'kind'))
wake(new, t)
return 'accepted'
