-- ARGV: model, structure digests. Answers in the older generation that are asked for move to the newer one. Hits and misses
-- are counted here, so that they are told as soon as the answer is.
local cache = 'mp:cache:' .. ARGV[1]
local asked = { unpack(ARGV, 2) }
local found = redis.call('HMGET', cache .. ':new', unpack(asked))
local hits = 0
for place, digest in ipairs(asked) do
  if not found[place] then
    local old = redis.call('HGET', cache .. ':old', digest)
    if old then
      found[place] = old
      redis.call('HSET', cache .. ':new', digest, old)
    end
  end
  if found[place] then hits = hits + 1 end
end
if hits > 0 then redis.call('HINCRBY', 'mp:metrics', 'answers_hits', hits) end
if hits < #asked then redis.call('HINCRBY', 'mp:metrics', 'answers_misses', #asked - hits) end
return found
