-- ARGV: model, most answers, seconds they live after the last new one, then digest, answer, digest, answer, … Two
-- generations: when the newer one holds half of what may be kept it becomes the older one, and the older one goes.
local cache, pairs_ = 'mp:cache:' .. ARGV[1], { unpack(ARGV, 4) }
redis.call('HSET', cache .. ':new', unpack(pairs_))
redis.call('EXPIRE', cache .. ':new', ARGV[3])
if redis.call('HLEN', cache .. ':new') > tonumber(ARGV[2]) / 2 then
  redis.call('RENAME', cache .. ':new', cache .. ':old')
end
return 1
