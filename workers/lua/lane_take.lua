-- ARGV: worker, model, most edges, most entries. Returns {item, content, …}; what is taken stays on record as
-- held by the worker until it replies. An entry that was lost before goes alone, so that it harms no neighbour.
local worker, model, budget = ARGV[1], ARGV[2], tonumber(ARGV[3])
local lane, t = 'mp:lane:' .. model, now()
local taken, edges = {}, 0
local BULK_EDGES = 20000
while #taken < 2 * tonumber(ARGV[4]) do
  local item = redis.call('LINDEX', lane, 0)
  if not item then break end
  local ref, size, losses = string.match(item, '^([^|]+|%d+)|(%d+)|(%d+)|')
  if #taken > 0 and (losses ~= '0' or edges + tonumber(size) > budget) then break end
  -- What somebody waits for does not wait for bulk to be computed with it.
  if #taken > 0 and is_bulk(item) and not is_bulk(taken[1]) then break end
  if is_bulk(item) then budget = math.min(budget, BULK_EDGES) end  -- who comes next waits for this batch
  redis.call('LPOP', lane)
  local content = redis.call('GET', 'mp:entry:' .. ref)
  if content then  -- otherwise nobody waits for it any more
    redis.call('SADD', 'mp:held:' .. worker, model .. '|' .. item)
    taken[#taken + 1] = item
    taken[#taken + 1] = content
    edges = edges + tonumber(size)
    if losses ~= '0' then break end
  end
end
if #taken > 0 then
  redis.call('SADD', 'mp:holders', worker)
  redis.call('ZADD', 'mp:alive:infer', ms(t), worker)
end
if redis.call('LLEN', lane) > 0 then redis.call('RPUSH', 'mp:lane-tokens', model) end
return taken
