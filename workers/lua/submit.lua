-- ARGV: id, most queued jobs, delay until published again (ms), fields as JSON. The record and its due
-- time are written before anybody is told of the job. Submitting the same id twice changes nothing.
local id, t = ARGV[1], now()
local key = record(id)
if redis.call('EXISTS', key) == 1 then return 'exists' end
local job = cjson.decode(ARGV[4])
local parent = job.parent and redis.call('HGET', record(job.parent), 'status')
if job.parent and (not parent or ENDED[parent]) then return 'exists' end  -- nobody waits for it any more
if not job.parent and redis.call('ZCARD', 'mp:due') >= tonumber(ARGV[2]) then return 'full' end
if redis.call('EXISTS', 'mp:full') == 1 then return 'full' end
-- One that was there before has ended and gone: made again, it would be counted twice.
if job.parent and redis.call('SADD', 'mp:children:' .. job.parent, id) == 0 then return 'exists' end
local fields = { 'status', 'queued', 'attempt', '0', 'lost', '0', 'tries', '0',
  'done', '0', 'failed', '0', 'created', ms(t) }
for name, value in pairs(job) do
  fields[#fields + 1] = name
  fields[#fields + 1] = value
end
redis.call('HSET', key, unpack(fields))
use(id, 'SADD')
redis.call('ZADD', 'mp:due', ms(t + tonumber(ARGV[3])), id)
redis.call('ZADD', 'mp:jobs', 0, id)
redis.call('ZADD', 'mp:jobs:' .. job.owner, 0, id)
status_event(id, 'queued', 0)
count('jobs_submitted:' .. job.kind)
wake(id, t)
return 'accepted'
