-- ARGV: how long a worker may be silent (ms), names of the queues. Returns the parts of `Health`, in the order in
-- which workers/moves.py reads them.
local t = now()
local alive, told, waiting = {}, {}, {}

local function age(at)
  return at and math.max(0, t - tonumber(at)) or 0
end

for place = 2, #ARGV do
  local queue = ARGV[place]
  local workers = redis.call('ZRANGEBYSCORE', 'mp:alive:' .. queue, ms(t - tonumber(ARGV[1])), '+inf')
  alive[#alive + 1] = #workers
  for _, worker in ipairs(workers) do
    told[#told + 1] = queue
    told[#told + 1] = worker
    told[#told + 1] = redis.call('GET', 'mp:worker:' .. worker) or ''
  end
  waiting[#waiting + 1] = redis.call('ZCARD', 'mp:waiting:' .. queue)
  waiting[#waiting + 1] = age(redis.call('ZRANGE', 'mp:waiting:' .. queue, 0, 0, 'WITHSCORES')[2])
end

local lanes, oldest = 0, 0
for _, model in ipairs(redis.call('SMEMBERS', 'mp:lanes')) do
  lanes = lanes + redis.call('LLEN', 'mp:lane:' .. model)
  local item = redis.call('LINDEX', 'mp:lane:' .. model, 0)
  -- The sixth part; entries of the version before have five.
  oldest = math.max(oldest, age(item and string.match(item, '^[^|]+|%d+|%d+|%d+|%d+|(%d+)$')))
end

local running = {}
for _, id in ipairs(redis.call('ZRANGE', 'mp:leases', 0, 1999)) do
  local kind = redis.call('HGET', record(id), 'kind') or ''
  running[kind] = (running[kind] or 0) + 1
end
local kinds = {}
for kind, number in pairs(running) do
  kinds[#kinds + 1] = kind
  kinds[#kinds + 1] = number
end

return { alive, redis.call('ZCARD', 'mp:due'), redis.call('ZCARD', 'mp:leases'), lanes,
  redis.call('EXISTS', 'mp:full'), redis.call('INFO', 'persistence'), redis.call('INFO', 'memory'),
  redis.call('HGETALL', 'mp:metrics'), waiting, oldest, kinds, told }
