-- ARGV: model, most answers, then digest, answer, digest, answer, … Two generations: when the newer one holds half
-- of what may be kept it becomes the older one, and the older one goes.
local cache, pairs_ = 'mp:cache:' .. ARGV[1], { unpack(ARGV, 3) }
redis.call('HSET', cache .. ':new', unpack(pairs_))
if redis.call('HLEN', cache .. ':new') > tonumber(ARGV[2]) / 2 then
  redis.call('RENAME', cache .. ':new', cache .. ':old')
end
return 1
