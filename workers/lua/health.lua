-- ARGV: how long a worker may be silent (ms), names of the queues.
local t = now()
local alive, lanes = {}, 0
for place = 2, #ARGV do
  alive[#alive + 1] = redis.call('ZCOUNT', 'mp:alive:' .. ARGV[place], ms(t - tonumber(ARGV[1])), '+inf')
end
for _, model in ipairs(redis.call('SMEMBERS', 'mp:lanes')) do
  lanes = lanes + redis.call('LLEN', 'mp:lane:' .. model)
end
return { alive, redis.call('ZCARD', 'mp:due'), redis.call('ZCARD', 'mp:leases'), lanes,
  redis.call('EXISTS', 'mp:full'), redis.call('INFO', 'persistence'), redis.call('INFO', 'memory'),
  redis.call('HGETALL', 'mp:metrics') }
