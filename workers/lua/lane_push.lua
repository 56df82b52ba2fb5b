-- ARGV: model, owner, seq, edges, losses, lives, time to live (ms), content. Pushing an entry twice changes nothing.
local model, ref = ARGV[1], ARGV[2] .. '|' .. ARGV[3]
if not redis.call('SET', 'mp:entry:' .. ref, ARGV[8], 'NX', 'PX', ARGV[7]) then return 0 end
local item = table.concat({ ref, ARGV[4], ARGV[5], ARGV[6] }, '|')
redis.call('SADD', 'mp:lanes', model)
-- One token stands for a lane with entries, however many: a worker that comes takes many at once.
if redis.call('RPUSH', 'mp:lane:' .. model, item) == 1 then redis.call('RPUSH', 'mp:lane-tokens', model) end
return 1
