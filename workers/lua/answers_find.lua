-- ARGV: model, structure digests. Answers in the older generation that are asked for move to the newer one.
local cache = 'mp:cache:' .. ARGV[1]
local asked = { unpack(ARGV, 2) }
local found = redis.call('HMGET', cache .. ':new', unpack(asked))
for place, digest in ipairs(asked) do
  if not found[place] then
    local old = redis.call('HGET', cache .. ':old', digest)
    if old then
      found[place] = old
      redis.call('HSET', cache .. ':new', digest, old)
    end
  end
end
return found
