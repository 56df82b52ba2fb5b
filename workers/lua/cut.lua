-- ARGV: screening, attempt, who claimed, chunk, its number, delay until looked after (ms), fields as JSON,
-- what its last structure is called.
-- The chunk's record, and in the same step how far its screening is cut: a successor goes on from there, and nothing
-- is cut twice. Returns: what became of it, then how far the screening is.
-- A broker that lost its last second knows less than the cutter: then a successor begins where the record says.
local parent, id, part, t = ARGV[1], ARGV[4], tonumber(ARGV[5]), now()
local above, key = record(parent), record(id)
local status = status_for(parent, ARGV[2], ARGV[3])
if status == 'cancelling' then return { 'cancelled' } end
if status ~= 'running' then return { 'lost' } end
local found, cut = 'ok', tonumber(redis.call('HGET', above, 'cut') or 0)
if part > cut then return { 'lost' } end
if part == cut then
  if redis.call('EXISTS', 'mp:full') == 1 then return { 'full' } end
  local fields = { 'status', 'queued', 'attempt', '0', 'lost', '0', 'tries', '0',
    'done', '0', 'failed', '0', 'created', ms(t), 'parent', parent, 'part', ARGV[5] }
  local job, last = cjson.decode(ARGV[7]), ARGV[8]
  for name, value in pairs(job) do
    fields[#fields + 1] = name
    fields[#fields + 1] = value
  end
  redis.call('HSET', key, unpack(fields))
  redis.call('HSET', above, 'cut', part + 1, 'lost', '0')  -- what gets on is no poison
  local items = redis.call('HINCRBY', above, 'items', job.total)
  redis.call('HSET', above, 'last', items .. ':' .. last)
  -- The source may have told how many there are.
  if items > tonumber(redis.call('HGET', above, 'total') or 0) then redis.call('HSET', above, 'total', items) end
  redis.call('SADD', 'mp:children:' .. parent, id)
  redis.call('ZADD', 'mp:due:bulk', ms(t + tonumber(ARGV[6])), id)
  count('jobs_submitted:chunk')
  wake(id, t)
end
local ended, took_bytes, took_ms = unpack(redis.call('HMGET', above, 'ended', 'took_bytes', 'took_ms'))
return { found, ended or '0', took_bytes or '0', took_ms or '0' }
